import { randomUUID } from 'node:crypto';
import { BlobServiceClient, type ContainerClient, StorageSharedKeyCredential } from '@azure/storage-blob';
import { type AzureLimits, createAzureDriver } from '../../src/driver/azure/azure-driver.ts';
import { type StorageDriver, validated } from '../../src/driver/index.ts';
import { type Azurite, azuriteAccount } from '../helpers/azurite.ts';

/** A container of its own, and drivers on it. */
export interface AzureScene {
  readonly container: ContainerClient;
  readonly parameters: Readonly<Record<string, unknown>>;
  readonly open: (more?: Readonly<Record<string, unknown>>, limits?: AzureLimits) => Promise<StorageDriver>;
}

/** Makes a container in a running Azurite. */
export async function makeScene(
  { serviceUrl }: Pick<Azurite, 'serviceUrl'>,
  rootdirectory: string,
): Promise<AzureScene> {
  const { accountname, accountkey } = azuriteAccount;
  const credential = new StorageSharedKeyCredential(accountname, accountkey);
  const container = new BlobServiceClient(serviceUrl, credential).getContainerClient(`test-${randomUUID()}`);
  await container.create();
  const parameters = {
    ...azuriteAccount,
    container: container.containerName,
    serviceurl: serviceUrl,
    rootdirectory,
    max_retries: 1,
    retry_delay: '10ms',
  };
  const open: AzureScene['open'] = async (more = {}, limits = {}) =>
    validated(await createAzureDriver({ ...parameters, ...more }, limits));
  return { container, parameters, open };
}

/** Names of all blobs, those of unfinished bytes included. */
export async function blobNames(container: ContainerClient): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of container.listBlobsFlat()) names.push(name);
  return names;
}
