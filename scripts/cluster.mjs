// The servers of the tests, for scripts: `npm run compile` compiles them.
const compiled = new URL('../.build/test/support/cluster.js', import.meta.url).href;
/** @type {typeof import('../test/support/cluster.ts')} */
const cluster = await import(compiled);
export const { freePort, startCluster } = cluster;
