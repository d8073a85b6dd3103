import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { AppError, BadRequestError, type Clock, UnavailableError } from '../core/index.ts';
import type { Links } from './links.ts';
import type { BuildIndexMetrics } from './metrics.ts';
import { takePage } from './page.ts';
import { buildIndexRoutes } from './protocol.ts';
import { Query, readTagBody } from './query.ts';
import type { Referrers } from './referrers.ts';
import type { Repositories } from './repositories.ts';
import type { Tags } from './tags.ts';

/** What the routes lead to. */
export interface RouteDeps {
  readonly tags: Tags;
  readonly links: Links;
  readonly referrers: Referrers;
  readonly repositories: Repositories;
  readonly metrics: BuildIndexMetrics;
  readonly clock: Clock;
}

/** One call: its query, its body, and a signal that aborts when the caller hangs up. */
interface Call {
  readonly query: Query;
  readonly body: unknown;
  readonly signal: AbortSignal;
}

type Answer = (call: Call) => Promise<object | undefined>;

/** Adds the routes of protocol.ts. When `app` closes, calls under way are aborted and awaited: nothing writes afterwards. */
export function addBuildIndexRoutes(app: FastifyInstance, deps: RouteDeps): void {
  const running = new Map<Promise<unknown>, AbortController>();
  for (const [route, answer] of Object.entries(answers(deps))) {
    const [method, url] = route.split(' ') as ['GET' | 'PUT' | 'DELETE', string];
    const handler = async (request: FastifyRequest, reply: FastifyReply) => {
      const controller = abortedByHangUp(reply);
      const { signal } = controller;
      const call = measured(deps, route, () => answer({ query: new Query(request.query), body: request.body, signal }));
      running.set(call, controller);
      try {
        const body = await call;
        return body === undefined ? reply.code(204).send() : body;
      } finally {
        running.delete(call);
      }
    };
    app.route({ method, url, handler });
  }
  app.addHook('preClose', async () => {
    for (const controller of running.values()) controller.abort(new UnavailableError('the build-index is stopping'));
    await Promise.allSettled(running.keys());
  });
}

async function measured<T>({ metrics, clock }: RouteDeps, route: string, call: () => Promise<T>): Promise<T> {
  const startedMs = clock.monotonicMs();
  let result = 'ok';
  try {
    return await call();
  } catch (error) {
    result = error instanceof AppError ? error.code : 'INTERNAL';
    throw error;
  } finally {
    metrics.answered(route, result, (clock.monotonicMs() - startedMs) / 1000);
  }
}

/** By method and path. Writes take no signal once they have begun: a caller that hangs up leaves no half of one behind. */
function answers({ tags, links, referrers, repositories, clock }: RouteDeps): Readonly<Record<string, Answer>> {
  const { tag, tags: tagList, repositories: repositoryList, repository, blob, link, referrer } = buildIndexRoutes;
  return {
    [`GET ${tag}`]: async ({ query, signal }) => ({
      digest: await tags.get(query.repository(), query.tag(), signal),
    }),
    [`PUT ${tag}`]: async ({ query, body, signal }) => {
      await tags.put(query.repository(), query.tag(), readTagBody(body), signal);
      return undefined;
    },
    [`DELETE ${tag}`]: async ({ query }) => {
      await tags.delete(query.repository(), query.tag());
      return undefined;
    },
    [`GET ${tagList}`]: async ({ query, signal }) => {
      const { after, limit } = query.page();
      return takePage(tags.list(query.repository(), after, signal), limit, clock);
    },
    [`GET ${repositoryList}`]: async ({ query, signal }) => {
      const { after, limit } = query.page();
      return takePage(repositories.list(after, signal), limit, clock);
    },
    [`DELETE ${repository}`]: async ({ query }) => {
      await repositories.delete(query.repository());
      return undefined;
    },
    [`GET ${blob}`]: async ({ query, signal }) => links.statBlob(query.repository(), query.digest('digest'), signal),
    [`PUT ${link}`]: async ({ query }) => {
      await links.link(query.repository(), query.linkKind(), query.digest('digest'));
      return undefined;
    },
    [`DELETE ${link}`]: async ({ query, signal }) => {
      await links.unlink(query.repository(), query.linkKind(), query.digest('digest'), signal);
      return undefined;
    },
    [`GET ${buildIndexRoutes.referrers}`]: async ({ query, signal }) => {
      const { after, limit } = query.page();
      return takePage(referrers.list(query.repository(), query.digest('subject'), after, signal), limit, clock);
    },
    [`PUT ${referrer}`]: async ({ query }) => {
      await referrers.put(query.repository(), query.digest('subject'), query.digest('referrer'));
      return undefined;
    },
    [`DELETE ${referrer}`]: async ({ query }) => {
      await referrers.delete(query.repository(), query.digest('subject'), query.digest('referrer'));
      return undefined;
    },
  };
}

/** Aborts when the connection ends before the answer does. */
function abortedByHangUp(reply: FastifyReply): AbortController {
  const controller = new AbortController();
  reply.raw.once('close', () => {
    if (!reply.raw.writableFinished) controller.abort(new BadRequestError('the caller hung up before it was answered'));
  });
  return controller;
}
