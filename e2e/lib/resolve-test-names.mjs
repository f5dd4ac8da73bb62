// Preloaded into Node services under test: names under .test are this machine, as they are for the browser.
import dns from 'node:dns';

const real = dns.lookup;

dns.lookup = (hostname, options, callback) => {
  if (typeof options === 'function') return dns.lookup(hostname, {}, options);
  if (!String(hostname).endsWith('.test')) return real(hostname, options, callback);
  process.nextTick(() => (options?.all ? callback(null, [{ address: '127.0.0.1', family: 4 }]) : callback(null, '127.0.0.1', 4)));
};
