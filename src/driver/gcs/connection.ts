import type { Storage } from '@google-cloud/storage';
import { GcsAuthError } from './errors.ts';
import { type GcsParameters, readCredentials } from './parameters.ts';

/** Where the SDK gets its tokens, whatever the file of a service account says. */
const sdkTokenUrl = 'https://oauth2.googleapis.com/token';

/** Who asks, and how it proves that. */
export interface GcsConnection {
  /** URL of the service, without a slash at its end. */
  readonly endpoint: string;
  /** Headers that sign a request in. Tokens are kept until they expire. @throws GcsAuthError; the signal's reason */
  authorize(signal: AbortSignal): Promise<Record<string, string>>;
  /** A URL at which anybody can read an object for a while; only with the private key of a service account. */
  readonly signUrl?: (name: string, lifeMs: number) => Promise<string>;
}

/**
 * Loads the SDK, and has it find the credentials. It signs requests in and makes signed URLs. The requests are made by
 * {@link GcsRequests}: those of the SDK cannot be called off, and try again for minutes. @throws ConfigError, GcsAuthError
 */
export async function connect(settings: GcsParameters, signal: AbortSignal): Promise<GcsConnection> {
  const credentials = await readCredentials(settings);
  const { Storage } = await import('@google-cloud/storage');
  const storage = new Storage(settings.apiendpoint === undefined ? {} : { apiEndpoint: settings.apiendpoint });
  // The option for this writes a warning to the console: it is for files that somebody else may have made.
  if (credentials !== undefined) storage.authClient.jsonContent = credentials;
  const client = await unlessAborted(orAuthError(storage.authClient.getClient()), signal);
  const tokenUrl = credentials?.token_uri;
  if (tokenUrl !== undefined && tokenUrl !== sdkTokenUrl) {
    client.transporter.interceptors.request.add({
      resolved: async (request) => {
        if (String(request.url) === sdkTokenUrl) request.url = new URL(tokenUrl);
        return request;
      },
    });
  }
  const authorize = async (signal: AbortSignal) => {
    const headers = await unlessAborted(orAuthError(client.getRequestHeaders()), signal);
    return Object.fromEntries(headers);
  };
  const endpoint = storage.apiEndpoint;
  if (credentials?.private_key === undefined) return { endpoint, authorize };
  return { endpoint, authorize, signUrl: signerOf(storage, settings.bucket) };
}

function signerOf(storage: Storage, bucket: string): NonNullable<GcsConnection['signUrl']> {
  return async (name, lifeMs) => {
    const file = storage.bucket(bucket).file(name);
    const [url] = await file.getSignedUrl({ version: 'v4', action: 'read', expires: Date.now() + lifeMs });
    return url;
  };
}

async function orAuthError<T>(promise: Promise<T>): Promise<T> {
  try {
    return await promise;
  } catch (error) {
    throw new GcsAuthError(error);
  }
}

/** The SDK gives no way to call off its own requests for tokens. They end by themselves, and their token is kept. */
async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const abort = () => reject(signal.reason);
  // Nobody may be left to hear of it.
  promise.catch(() => undefined);
  if (signal.aborted) abort();
  else signal.addEventListener('abort', abort, { once: true });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
