import { registryContract } from './contract.ts';
import { accessContract } from './contract-access.ts';
import { folderDriver, serveRegistry } from './running-registry.ts';

registryContract('registry on the filesystem driver', async () => serveRegistry(await folderDriver()));
accessContract('registry on the filesystem driver', () => folderDriver());
