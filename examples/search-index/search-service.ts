import fastify, { type FastifyInstance } from 'fastify';

interface Entry {
  /** Undefined: deleted. The version stays, so that an older write cannot bring the document back. */
  readonly text: string | undefined;
  readonly version: bigint;
}

const words = (text: string) => new Set(text.toLowerCase().match(/\p{L}+/gu) ?? []);

/**
 * A small search engine over HTTP, in memory. Like Elasticsearch with `version_type=external_gte`, it answers 409 to a write
 * that is older than its own version of the document.
 */
export function searchService(): FastifyInstance {
  const entries = new Map<string, Entry>();
  /** word → ids */
  const index = new Map<string, Set<string>>();
  /** The version of the last deletion of all documents. */
  let clearedAt = 0n;

  const write = (id: string, text: string | undefined, version: bigint): boolean => {
    const before = entries.get(id);
    if ((before?.version ?? clearedAt) > version) return false;
    for (const word of words(before?.text ?? '')) index.get(word)?.delete(id);
    for (const word of words(text ?? '')) index.set(word, (index.get(word) ?? new Set()).add(id));
    entries.set(id, { text, version });
    return true;
  };
  const clear = (version: bigint): void => {
    if (version > clearedAt) clearedAt = version;
    for (const id of entries.keys()) write(id, undefined, version);
  };

  const app = fastify();
  const version = { type: 'string', pattern: '^[0-9]+$' };
  const querystring = { type: 'object', properties: { version }, required: ['version'] };
  interface Put {
    Params: { id: string };
    Querystring: { version: string };
    Body: { text: string };
  }
  const body = { type: 'object', properties: { text: { type: 'string' } }, required: ['text'] };
  app.put<Put>('/documents/:id', { schema: { querystring, body } }, async ({ params, query, body: { text } }, reply) =>
    reply.code(write(params.id, text, BigInt(query.version)) ? 204 : 409).send(),
  );
  app.delete<Omit<Put, 'Body'>>('/documents/:id', { schema: { querystring } }, async ({ params, query }, reply) =>
    reply.code(write(params.id, undefined, BigInt(query.version)) ? 204 : 409).send(),
  );
  app.delete<Pick<Put, 'Querystring'>>('/documents', { schema: { querystring } }, async ({ query }, reply) => {
    clear(BigInt(query.version));
    return reply.code(204).send();
  });
  app.get<{ Querystring: { q: string } }>('/search', async ({ query }) => {
    const found = [...words(query.q)].map((word) => index.get(word) ?? new Set<string>());
    const [first = new Set<string>(), ...others] = found;
    const ids = [...first].filter((id) => others.every((other) => other.has(id)));
    return ids.map((id) => ({ id, text: entries.get(id)?.text }));
  });
  return app;
}
