import type { Logger } from 'pino';
import { type Clock, ConfigError, UnavailableError, UploadNotFoundError } from '../core/index.ts';
import type { AccessControl, UploadAnswer, UploadForwarder, UploadRequest } from '../registry/index.ts';
import type { ProxyConfig } from './config.ts';
import { admitForwarded, ForwardPass } from './forward-pass.ts';
import { endToEnd, OtherProxies } from './other-proxies.ts';
import { proxyNameOf, UploadIds } from './upload-ids.ts';

/** What forwarding works with. */
export interface UploadForwardingDeps {
  readonly clusterToken: string;
  readonly logger: Logger;
  readonly clock: Clock;
}

/** The headers of the client's request that say something to this proxy only: the next one is sent its own. */
const NOT_SENT_ON = ['authorization', 'expect', 'host', 'content-length'];
const METHODS_WITH_BODY = ['PATCH', 'PUT'];

/**
 * Several proxies behind one address: an upload lives on the one that began it, and any other sends its requests on.
 *
 * Which one that is stands in the upload's id, signed; requests go to configured members only. The first proxy checks the
 * client's rights; the second one trusts its signed word for them (see `ForwardPass`), and never sends a request on that has
 * been sent on already, so that no request goes in circles, whatever the members believe of each other.
 */
export class UploadForwarding implements UploadForwarder {
  readonly #deps: UploadForwardingDeps;
  readonly #selfName: string;
  /** Base URLs of all members by their names. */
  readonly #members: ReadonlyMap<string, string>;
  readonly #ids: UploadIds;
  readonly #pass: ForwardPass;
  readonly #others: OtherProxies;

  private constructor(selfUrl: string, members: readonly string[], deps: UploadForwardingDeps) {
    this.#deps = deps;
    this.#selfName = proxyNameOf(selfUrl);
    this.#members = new Map(members.map((url) => [proxyNameOf(url), url]));
    this.#ids = new UploadIds(deps.clusterToken);
    this.#pass = new ForwardPass(deps.clusterToken, deps.clock);
    this.#others = new OtherProxies(deps.clock);
  }

  /**
   * Forwarding as it is configured; `undefined` for the only proxy of a cluster. The caller closes it.
   * @throws ConfigError when the members do not name this proxy
   */
  static open(
    { proxies, selfUrl }: Pick<ProxyConfig, 'proxies' | 'selfUrl'>,
    deps: UploadForwardingDeps,
  ): UploadForwarding | undefined {
    const members = [...new Set(proxies.map(withoutSlash))];
    if (members.length === 0) return undefined;
    const self = selfUrl === undefined ? undefined : withoutSlash(selfUrl);
    if (self !== undefined && members.includes(self)) return new UploadForwarding(self, members, deps);
    throw new ConfigError(
      `proxy: selfUrl ${self ?? '(not set)'} is not among proxies (${members.join(', ')}); each proxy lists all of them, ` +
        'itself too',
      { selfUrl: self, members },
    );
  }

  /** An id for an upload that begins here. */
  readonly newUploadId = (): string => this.#ids.make(this.#selfName);

  /** Lets in what other proxies send on, and asks `access` about everything else; without it, everybody is let in. */
  admitting(access: AccessControl | undefined): AccessControl {
    return admitForwarded(this.#pass, access);
  }

  async forward(request: UploadRequest): Promise<UploadAnswer | undefined> {
    const proxyName = this.#ids.findProxyName(request.uploadId);
    // Ids from before there were several proxies, or from nowhere: the upload is here, or it is not.
    if (proxyName === undefined || proxyName === this.#selfName) return undefined;
    if (this.#pass.find(request.headers.authorization) !== undefined) return undefined;
    const baseUrl = this.#members.get(proxyName);
    if (baseUrl === undefined) {
      throw new UploadNotFoundError('the upload was on a proxy that is no member any more: begin it again with POST');
    }
    const answer = await this.#others.send({
      baseUrl,
      method: request.method,
      url: request.url,
      headers: this.#headersFor(request),
      body: METHODS_WITH_BODY.includes(request.method) ? request.body : undefined,
      signal: request.signal,
    });
    if (answer.status === 401 || answer.status === 403) throw this.#refused(baseUrl, answer.status);
    return answer;
  }

  async close(): Promise<void> {
    await this.#others.close();
  }

  #headersFor({ headers, body, ...request }: UploadRequest): Record<string, string | string[]> {
    const sent = endToEnd(headers);
    for (const name of NOT_SENT_ON) delete sent[name];
    const length = headers['content-length'];
    // A body without a length goes on in chunks.
    if (body !== undefined && length !== undefined) sent['content-length'] = length;
    sent['authorization'] = this.#pass.write(request.callerName, request.repository);
    sent['x-request-id'] = request.requestId;
    return sent;
  }

  /** The client can do nothing about it: it was let in here. */
  #refused(baseUrl: string, status: number): UnavailableError {
    this.#deps.logger.error(
      { proxy: baseUrl, status },
      'another proxy does not take what this one sends on: are their cluster tokens the same, and their clocks right?',
    );
    return new UnavailableError(`the proxy ${baseUrl} refuses what this one sends on (${status})`, { url: baseUrl });
  }
}

function withoutSlash(url: string): string {
  return url.replace(/\/$/, '');
}
