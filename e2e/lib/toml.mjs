// Just enough TOML to write a configuration: scalars, arrays of scalars, tables, and arrays of tables.

export function toToml(config) {
  const scalars = [];
  const tables = [];
  for (const [name, value] of Object.entries(config)) {
    if (Array.isArray(value) && value.some((each) => typeof each === 'object')) {
      for (const each of value) tables.push(`[[${name}]]\n${lines(each)}`);
    } else if (typeof value === 'object' && !Array.isArray(value)) {
      tables.push(`[${name}]\n${lines(value)}`);
    } else {
      scalars.push(`${name} = ${JSON.stringify(value)}`);
    }
  }
  return `${[scalars.join('\n'), ...tables].filter(Boolean).join('\n\n')}\n`;
}

const lines = (table) => Object.entries(table).map(([name, value]) => `${name} = ${JSON.stringify(value)}`).join('\n');
