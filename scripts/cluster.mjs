// The servers of the tests, for scripts: `npm run compile` has made them JavaScript.
const compiled = new URL('../.build/test/support/cluster.js', import.meta.url).href;
/** @type {typeof import('../test/support/cluster.ts')} */
const cluster = await import(compiled);
export const { freePort, startCluster } = cluster;
