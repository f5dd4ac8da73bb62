/** Whether `url` is of `origin`, at or under one of `paths`. */
export function inScope(url: string, origin: string, paths: readonly string[]): boolean {
  const target = new URL(url);
  return target.origin === origin && paths.some((path) => `${target.pathname}/`.startsWith(path.replace(/\/*$/, '/')));
}
