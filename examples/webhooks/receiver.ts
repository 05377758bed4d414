import fastify, { type FastifyInstance } from 'fastify';
import { verify } from './signature.ts';

/** The other side: checks signatures and accepts each event once. `accept` returns the status to answer with. */
export function receiver(secret: string, accept: (event: unknown, id: string) => number): FastifyInstance {
  const taken = new Set<string>();
  const app = fastify();
  // A signature covers the bytes as they were sent, so do not parse the body first.
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (_request, body, done) => done(null, body));
  app.post<{ Body: string }>('/', async ({ headers, body }, reply) => {
    const id = String(headers['webhook-id']);
    const timestamp = Number(headers['webhook-timestamp']);
    if (!verify(secret, { id, timestamp, body }, String(headers['webhook-signature']))) return reply.code(401).send();
    if (taken.has(id)) return reply.code(200).send(); // delivery is at least once: answer a repeated webhook with success
    const status = accept(JSON.parse(body), id);
    if (status < 300) taken.add(id);
    return reply.code(status).send();
  });
  return app;
}
