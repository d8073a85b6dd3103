import { NoSpaceError, UnavailableError } from '../core/index.ts';
import {
  type CallContext,
  NotADirectoryError,
  NotAFileError,
  PathNotFoundError,
  type StorageDriver,
  StorageFullError,
} from '../driver/index.ts';
import { formatPath, type RegistryPath } from '../pathparser/index.ts';

/**
 * The small files and directories of the layout in the backend. What is not there is a value; a backend that fails in
 * any way is an {@link UnavailableError} (a full one {@link NoSpaceError}); the reason of an aborted signal passes through.
 */
export class BackendFiles {
  readonly #driver: StorageDriver;

  constructor(deps: { readonly driver: StorageDriver }) {
    this.#driver = deps.driver;
  }

  /** Whether the file or directory is there. */
  async has(path: RegistryPath, signal?: AbortSignal): Promise<boolean> {
    const info = await this.#call('stat', formatPath(path), signal, (at, context) => this.#driver.stat(at, context));
    return info !== undefined;
  }

  /** The content of a file as text. */
  async find(path: RegistryPath, signal?: AbortSignal): Promise<string | undefined> {
    const content = await this.#call('read', formatPath(path), signal, (at, context) =>
      this.#driver.getContent(at, context),
    );
    return content?.toString('utf8');
  }

  /** Writes a whole file; it is synced when this resolves. */
  async put(path: RegistryPath, content: string): Promise<void> {
    const at = formatPath(path);
    try {
      await this.#driver.putContent(at, Buffer.from(content));
    } catch (error) {
      throw this.#translated(error, 'write', at);
    }
  }

  /** Removes a file, or a directory with all below it; whether there was anything. */
  async remove(path: RegistryPath): Promise<boolean> {
    return this.#remove(formatPath(path));
  }

  /** Removes one entry of a directory; whether there was anything. */
  async removeEntry(directory: RegistryPath, name: string): Promise<boolean> {
    return this.#remove(`${formatPath(directory)}/${name}`);
  }

  /** The names in a directory behind `after`, in order of their bytes; none when it is not there. */
  async *list(directory: RegistryPath, page: { after?: string | undefined } = {}, signal?: AbortSignal) {
    const at = formatPath(directory);
    const driverPage = page.after === undefined ? {} : { after: `${at}/${page.after}` };
    try {
      for await (const path of this.#driver.list(at, driverPage, contextOf(signal))) yield path.slice(at.length + 1);
    } catch (error) {
      if (!isAbsence(error)) throw this.#translated(error, 'list', at, signal);
    }
  }

  /** Resolves when the backend answers. */
  async probe(signal: AbortSignal): Promise<void> {
    await this.#call('stat', '/', signal, (at, context) => this.#driver.stat(at, context));
  }

  async #remove(at: string): Promise<boolean> {
    const removed = await this.#call('delete', at, undefined, async () => {
      await this.#driver.delete(at);
      return true;
    });
    return removed ?? false;
  }

  async #call<T>(
    what: string,
    at: string,
    signal: AbortSignal | undefined,
    call: (at: string, context: CallContext) => Promise<T>,
  ): Promise<T | undefined> {
    try {
      return await call(at, contextOf(signal));
    } catch (error) {
      if (isAbsence(error)) return undefined;
      throw this.#translated(error, what, at, signal);
    }
  }

  #translated(cause: unknown, what: string, at: string, signal?: AbortSignal): unknown {
    if (signal?.aborted === true && cause === signal.reason) return cause;
    const reason = cause instanceof Error ? cause.message : String(cause);
    const details = { driver: this.#driver.name, path: at };
    if (cause instanceof StorageFullError) {
      return new NoSpaceError(`the backend has no room for ${at}: ${reason}`, details, { cause });
    }
    return new UnavailableError(`the backend could not ${what} ${at}: ${reason}`, details, { cause });
  }
}

function contextOf(signal: AbortSignal | undefined): CallContext {
  return signal === undefined ? {} : { signal };
}

/** Also when a file is where a directory of the layout would be, or the other way round: then the layout is not there. */
function isAbsence(error: unknown): boolean {
  return error instanceof PathNotFoundError || error instanceof NotAFileError || error instanceof NotADirectoryError;
}
