import type { Logger } from 'pino';
import type { Clock } from '../core/index.ts';
import { type KeySet, type KeySource, parseKeySet } from './key-set.ts';
import { WatchedFile } from './watched-file.ts';

/** The keys of a token server from a file, which is read again when it changes. */
export class KeyFile implements KeySource {
  readonly #file: WatchedFile<KeySet>;

  private constructor(file: WatchedFile<KeySet>) {
    this.#file = file;
  }

  /** @throws ConfigError when the file cannot be read or is no set of public keys */
  static async open(file: string, deps: { readonly logger: Logger; readonly clock: Clock }): Promise<KeyFile> {
    const setting = 'access.token.jwksFile';
    const parse = (text: string) => parseKeySet(text, `${setting}: ${file}`, 'refuse');
    return new KeyFile(await WatchedFile.open({ file, setting, parse, ...deps }));
  }

  current(): Promise<KeySet> {
    return this.#file.current();
  }

  newest(): Promise<KeySet> {
    return this.#file.latest();
  }

  async close(): Promise<void> {
    // Nothing is open: the file is looked at when somebody asks.
  }
}
