import { registryContract } from './contract.ts';
import { folderDriver, serveRegistry } from './running-registry.ts';

registryContract('registry on the filesystem driver', async () => serveRegistry(await folderDriver()));
