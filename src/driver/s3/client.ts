import { createHash } from 'node:crypto';
import { Agent } from 'node:http';
import { Agent as SecureAgent } from 'node:https';
import type { S3, S3ClientConfig } from '@aws-sdk/client-s3';
import type { S3Settings } from './parameters.ts';

/** Longest wait for a connection. */
const connectionTimeoutMs = 10_000;

/** A URL at which an object can be read with the driver's credentials for a while. */
export type Presign = (method: 'GET' | 'HEAD', key: string) => Promise<string>;

/** How long a presigned URL is good, in seconds: distribution's 20 minutes. */
const presignedSeconds = 20 * 60;

/** The SDK's client, loaded here and not before; whoever asked destroys it. */
export async function openClient(settings: S3Settings): Promise<S3> {
  const { S3 } = await import('@aws-sdk/client-s3');
  const client = new S3(configOf(settings));
  if (settings.contentmd5) sendContentMd5(client);
  return client;
}

/** Makes presigned URLs. They name `redirectendpoint` when that is given, for which the signature has to be made. */
export async function openPresigner(settings: S3Settings): Promise<{ readonly presign: Presign; close(): void }> {
  const { S3, GetObjectCommand, HeadObjectCommand } = await import('@aws-sdk/client-s3');
  const { getSignedUrl } = await import('@aws-sdk/s3-request-presigner');
  const endpoint = settings.redirectendpoint ?? settings.regionendpoint;
  const client = new S3({
    ...configOf(settings),
    ...(endpoint === undefined ? {} : { endpoint }),
    // Clients that follow a redirect know nothing of checksums.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
  });
  return {
    presign: (method, key) => {
      const place = { Bucket: settings.bucket, Key: key };
      const command = method === 'GET' ? new GetObjectCommand(place) : new HeadObjectCommand(place);
      return getSignedUrl(client, command, { expiresIn: presignedSeconds });
    },
    close: () => client.destroy(),
  };
}

function configOf(settings: S3Settings): S3ClientConfig {
  const checksums = settings.checksum === 'supported' ? 'WHEN_SUPPORTED' : 'WHEN_REQUIRED';
  const region = settings.region ?? (settings.regionendpoint === undefined ? undefined : 'us-east-1');
  // Open readers hold a connection each; a limit here would let slow readers keep everybody else waiting without a word.
  // What bounds the requests is `maxconcurrency`.
  const agentOptions = { keepAlive: true, maxSockets: Number.POSITIVE_INFINITY };
  return {
    ...(region === undefined ? {} : { region }),
    ...(settings.regionendpoint === undefined ? {} : { endpoint: settings.regionendpoint }),
    ...credentialsOf(settings),
    ...(settings.useragent === undefined ? {} : { customUserAgent: settings.useragent }),
    forcePathStyle: settings.forcepathstyle,
    tls: settings.secure,
    useAccelerateEndpoint: settings.accelerate,
    useDualstackEndpoint: settings.usedualstack,
    useFipsEndpoint: settings.usefipsendpoint,
    maxAttempts: settings.maxattempts,
    retryMode: 'standard',
    requestChecksumCalculation: checksums,
    responseChecksumValidation: checksums,
    requestHandler: {
      connectionTimeout: connectionTimeoutMs,
      requestTimeout: settings.requesttimeout,
      throwOnRequestTimeout: true,
      httpAgent: new Agent(agentOptions),
      httpsAgent: new SecureAgent({ ...agentOptions, rejectUnauthorized: !settings.skipverify }),
    },
  };
}

function credentialsOf({ accesskey, secretkey, sessiontoken }: S3Settings): Pick<S3ClientConfig, 'credentials'> {
  if (accesskey === undefined || secretkey === undefined) return {};
  const token = sessiontoken === undefined ? {} : { sessionToken: sessiontoken };
  return { credentials: { accessKeyId: accesskey, secretAccessKey: secretkey, ...token } };
}

/** A request of the SDK as a step before signing sees it. */
interface BuiltRequest {
  readonly headers: Record<string, string>;
  readonly body: string | Uint8Array;
}

/**
 * DeleteObjects has to carry a checksum. The SDK sends a CRC32, which stores that are older than that take for none; this
 * sends the MD5 that they want in its place, as the SDK once did.
 */
function sendContentMd5(client: S3): void {
  client.middlewareStack.add(
    (next, context) => (args) => {
      if ((context as { commandName?: string }).commandName === 'DeleteObjectsCommand') {
        const { headers, body } = args.request as BuiltRequest;
        for (const name of Object.keys(headers)) if (/^x-amz-(sdk-)?checksum-/i.test(name)) delete headers[name];
        headers['content-md5'] = createHash('md5').update(body).digest('base64');
      }
      return next(args);
    },
    // After the SDK's own checksum, before the signature.
    { step: 'build', priority: 'low', name: 'shoalContentMd5' },
  );
}
