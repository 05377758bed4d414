import fastify, { type FastifyInstance } from 'fastify';

interface Mail {
  readonly to: string;
  readonly subject: string;
  readonly text: string;
}

export interface Request {
  readonly mail: Mail;
  readonly idempotencyKey: string;
  readonly traceparent: string | undefined;
  /** The provider has already sent a mail with this key. */
  readonly repeated: boolean;
}

/** A provider of mail over HTTP. Like real ones, it sends one mail for each idempotency key. `received` is called before it answers. */
export function mailProvider(received: (request: Request) => unknown): FastifyInstance {
  const keys = new Set<string>();
  const app = fastify();
  app.post<{ Body: Mail }>('/mails', async ({ body: mail, headers }, reply) => {
    const idempotencyKey = String(headers['idempotency-key']);
    const repeated = keys.has(idempotencyKey);
    keys.add(idempotencyKey);
    await received({ mail, idempotencyKey, traceparent: headers['traceparent'] as string | undefined, repeated });
    return reply.code(202).send();
  });
  return app;
}
