import { Agent } from 'node:https';
import type {
  BlobSASPermissions,
  BlobServiceClient,
  ContainerClient,
  HttpAuthorization,
  Pipeline,
  SASProtocol,
  StorageSharedKeyCredential,
  UserDelegationKey,
} from '@azure/storage-blob';
import { type AzureParameters, retryDelayMsOf, serviceUrlOf } from './parameters.ts';

type Sdk = typeof import('@azure/storage-blob');

/** A token of Microsoft Entra, as the SDKs give it; the part of their TokenCredential that is used. */
interface TokenSource {
  getToken(scopes: string | string[]): Promise<{ readonly token: string; readonly expiresOnTimestamp: number } | null>;
}

/** How the driver signs in to a container, and what follows from that for URLs that others read from. */
export interface AzureConnection {
  readonly container: ContainerClient;
  /** The same container, without retries. */
  readonly containerOnce: ContainerClient;
  /** A URL that reads one blob for a time, without further signing in; `undefined` when these credentials cannot make one. */
  readonly signUrl: ((name: string, lifeMs: number) => Promise<string>) | undefined;
  /** What the service itself copies a blob from. */
  readonly copySource: (name: string) => Promise<CopySource>;
}

/** See {@link AzureConnection.copySource}. */
export interface CopySource {
  readonly url: string;
  readonly authorization?: HttpAuthorization;
}

/** Long enough for the copy of the largest blob; the URL is seen by the service only. */
const copyUrlLifeMs = 24 * 60 * 60 * 1000;

/** Clocks of the client and of the service may differ by this much; the service refuses requests by key beyond it. */
const clockSkewMs = 15 * 60_000;

/** How long a key for signing URLs is asked for; the service gives a week at most. */
const delegationKeyLifeMs = 24 * 60 * 60 * 1000;

const maxRetryDelayMs = 10_000;
const storageScope = 'https://storage.azure.com/.default';

/** Loads the SDK and makes the clients; no request is sent. */
export async function connect(settings: AzureParameters): Promise<AzureConnection> {
  const sdk = await import('@azure/storage-blob');
  const { connectionstring, accountkey, sastoken } = settings;
  if (connectionstring !== undefined) {
    const { url, credential } = sdk.BlobServiceClient.fromConnectionString(connectionstring);
    if (credential instanceof sdk.StorageSharedKeyCredential) return withKey(sdk, settings, url, credential);
    return withSas(sdk, settings, url);
  }
  if (accountkey !== undefined) {
    const credential = new sdk.StorageSharedKeyCredential(settings.accountname ?? '', accountkey);
    return withKey(sdk, settings, serviceUrlOf(settings), credential);
  }
  if (sastoken !== undefined) return withSas(sdk, settings, `${serviceUrlOf(settings)}?${sastoken.replace(/^\?/, '')}`);
  return withToken(sdk, settings, await tokenSource(settings));
}

function withKey(
  sdk: Sdk,
  settings: AzureParameters,
  url: string,
  credential: StorageSharedKeyCredential,
): AzureConnection {
  const clients = clientsOf(sdk, settings, url, credential);
  const signUrl = (name: string, lifeMs: number) =>
    clients.container.getBlobClient(name).generateSasUrl(readOnly(sdk, lifeMs, url));
  return { ...clients, signUrl, copySource: async (name) => ({ url: await signUrl(name, copyUrlLifeMs) }) };
}

/** The client's own signature is wider than one blob, so it is never given away; the service itself may have it. */
function withSas(sdk: Sdk, settings: AzureParameters, url: string): AzureConnection {
  const clients = clientsOf(sdk, settings, url, new sdk.AnonymousCredential());
  const copySource = async (name: string) => ({ url: clients.container.getBlobClient(name).url });
  return { ...clients, signUrl: undefined, copySource };
}

function withToken(sdk: Sdk, settings: AzureParameters, token: TokenSource): AzureConnection {
  const url = serviceUrlOf(settings);
  const clients = clientsOf(sdk, settings, url, token);
  const { service, container } = clients;
  let key: { readonly value: Promise<UserDelegationKey>; readonly untilMs: number } | undefined;
  const signUrl = async (name: string, lifeMs: number) => {
    const nowMs = Date.now();
    if (key === undefined || key.untilMs < nowMs + lifeMs + clockSkewMs) {
      const untilMs = nowMs + delegationKeyLifeMs;
      const made = { value: service.getUserDelegationKey(new Date(nowMs - clockSkewMs), new Date(untilMs)), untilMs };
      key = made;
      made.value.catch(() => {
        // The next call asks again.
        if (key === made) key = undefined;
      });
    }
    const blob = container.getBlobClient(name);
    return blob.generateUserDelegationSasUrl(readOnly(sdk, lifeMs, url), await key.value);
  };
  const copySource = async (name: string) => {
    const answer = await token.getToken(storageScope);
    const { url: blobUrl } = container.getBlobClient(name);
    return answer === null
      ? { url: blobUrl }
      : { url: blobUrl, authorization: { scheme: 'Bearer', value: answer.token } };
  };
  return { ...clients, signUrl, copySource };
}

/** Clients of one service; all of them go the same way. */
function clientsOf(
  sdk: Sdk,
  settings: AzureParameters,
  url: string,
  credential: Parameters<Sdk['newPipeline']>[0],
): { service: BlobServiceClient; container: ContainerClient; containerOnce: ContainerClient } {
  const open = (maxTries: number) => new sdk.BlobServiceClient(url, makePipeline(sdk, settings, credential, maxTries));
  const service = open(settings.max_retries + 1);
  return {
    service,
    container: service.getContainerClient(settings.container),
    containerOnce: open(1).getContainerClient(settings.container),
  };
}

async function tokenSource({ credentials }: AzureParameters): Promise<TokenSource> {
  const { ClientSecretCredential, DefaultAzureCredential } = await import('@azure/identity');
  if (credentials?.type !== 'client_secret') return new DefaultAzureCredential();
  const { tenantid = '', clientid = '', secret = '' } = credentials;
  return new ClientSecretCredential(tenantid, clientid, secret);
}

function readOnly(
  sdk: Sdk,
  lifeMs: number,
  serviceUrl: string,
): { permissions: BlobSASPermissions; startsOn: Date; expiresOn: Date; protocol: SASProtocol } {
  const nowMs = Date.now();
  return {
    permissions: sdk.BlobSASPermissions.parse('r'),
    startsOn: new Date(nowMs - clockSkewMs),
    expiresOn: new Date(nowMs + lifeMs),
    protocol: serviceUrl.startsWith('https:') ? sdk.SASProtocol.Https : sdk.SASProtocol.HttpsAndHttp,
  };
}

function makePipeline(
  sdk: Sdk,
  settings: AzureParameters,
  credential: Parameters<Sdk['newPipeline']>[0],
  maxTries: number,
): Pipeline {
  const retryDelayInMs = retryDelayMsOf(settings);
  const pipeline = sdk.newPipeline(credential, {
    retryOptions: {
      retryPolicyType: sdk.StorageRetryPolicyType.EXPONENTIAL,
      maxTries,
      retryDelayInMs,
      maxRetryDelayInMs: Math.max(retryDelayInMs, maxRetryDelayMs),
    },
  });
  if (settings.skipverify) {
    const agent = new Agent({ keepAlive: true, rejectUnauthorized: false });
    pipeline.factories.push({
      create: (next) => ({
        sendRequest: (request) => {
          if (request.url.startsWith('https:')) request.agent = agent;
          return next.sendRequest(request);
        },
      }),
    });
  }
  return pipeline;
}
