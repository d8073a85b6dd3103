import type { FastifyInstance, FastifyRequest } from 'fastify';
import { Registry } from 'prom-client';
import { onTestFinished } from 'vitest';
import { UnavailableError } from '../../src/core/index.ts';
import { createService, listen } from '../../src/http/index.ts';
import { testLogger } from '../helpers/logger.ts';

export const clusterToken = 'a cluster token of the tests, long enough';

/** A small HTTP server that speaks one program's protocol, counts what it is asked, and can be made to fail. */
export class StandInService {
  /** `GET /v1/tag` and so on, without the query, in order. */
  readonly requests: string[] = [];
  /** Every request is answered 503. */
  down = false;
  /** Awaited before every answer. */
  gate: Promise<unknown> = Promise.resolve();
  readonly baseUrl: string;
  readonly #app: FastifyInstance;

  private constructor(app: FastifyInstance, baseUrl: string) {
    this.#app = app;
    this.baseUrl = baseUrl;
  }

  /** Starts on a free port; ends with the test. */
  static async start(role: string, addRoutes: (app: FastifyInstance) => void): Promise<StandInService> {
    const app = createService({
      role,
      clusterToken,
      logger: testLogger(),
      metrics: new Registry(),
      ready: async () => {},
    });
    let service: StandInService | undefined;
    app.addHook('preHandler', async (request: FastifyRequest) => {
      service!.requests.push(`${request.method} ${request.url.split('?')[0]}`);
      await service!.gate;
      if (service!.down) throw new UnavailableError(`the ${role} of this test is down`);
    });
    addRoutes(app);
    const port = await listen(app, role, { host: '127.0.0.1', port: 0 });
    service = new StandInService(app, `http://127.0.0.1:${port}`);
    onTestFinished(() => app.close());
    return service;
  }

  /** Ends before the test does: connections break off. */
  async stop(): Promise<void> {
    await this.#app.close();
  }
}

/** The parameters of a request, as the programs' clients send them. */
export function queryOf(request: FastifyRequest): Record<string, string> {
  return request.query as Record<string, string>;
}
