import { ConfigError } from '../../core/index.ts';
import { DelegatingDriver } from '../delegating.ts';
import type { CallContext, Capabilities, StorageDriver } from '../storage-driver.ts';

/**
 * Sends clients to a web server or CDN that serves the same storage: the URL of an object is the base URL with its path
 * behind it, unsigned. For a driver that signs URLs by itself (s3, azure, gcs) this is not needed.
 */
export class RedirectingDriver extends DelegatingDriver {
  readonly #baseUrl: string;

  /**
   * @param inner is closed with this one
   * @param baseUrl such as `https://cdn.example/registry`, absolute
   * @throws ConfigError when it is no http or https URL, or has a query or fragment
   */
  constructor(inner: StorageDriver, baseUrl: string) {
    super(inner);
    const url = URL.canParse(baseUrl) ? new URL(baseUrl) : undefined;
    if (url === undefined || !/^https?:$/.test(url.protocol) || url.search !== '' || url.hash !== '') {
      throw new ConfigError(`expected an http or https URL without query for redirects, got "${baseUrl}"`, { baseUrl });
    }
    this.#baseUrl = url.href.replace(/\/+$/, '');
  }

  override get capabilities(): Capabilities {
    return { ...this.inner.capabilities, redirect: true };
  }

  override async redirectURL(
    path: string,
    _request: { readonly method: string },
    context?: CallContext,
  ): Promise<string | undefined> {
    // What is not there would be a redirect to nothing.
    await this.inner.stat(path, context);
    return `${this.#baseUrl}${path}`;
  }
}
