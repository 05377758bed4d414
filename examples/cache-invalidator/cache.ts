import fastify, { type FastifyInstance } from 'fastify';

interface Page {
  readonly status: number;
  readonly body: string;
}

/** A caching reverse proxy: keeps each page until it gets a `PURGE` for its address, as Varnish and many CDNs do. */
export function cache(originUrl: string): FastifyInstance {
  // Promises, so that a PURGE also removes a page that is still being fetched and may be old.
  const pages = new Map<string, Promise<Page>>();

  const fetchPage = async (path: string): Promise<Page> => {
    const response = await fetch(originUrl + path);
    return { status: response.status, body: await response.text() };
  };

  const app = fastify();
  app.addHttpMethod('PURGE');
  app.get('*', async ({ url }, reply) => {
    const cached = pages.get(url);
    const fetching = cached ?? fetchPage(url);
    if (!cached) {
      pages.set(url, fetching);
      fetching.catch(() => pages.delete(url)); // the awaiting request reports the error
    }
    const { status, body } = await fetching;
    return reply
      .code(status)
      .header('x-cache', cached ? 'hit' : 'miss')
      .type('application/json')
      .send(body);
  });
  app.route({
    method: 'PURGE',
    url: '*',
    handler: async ({ url }, reply) => reply.code(pages.delete(url) ? 200 : 404).send(),
  });
  return app;
}
