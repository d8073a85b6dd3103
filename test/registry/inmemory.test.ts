import { registryContract } from './contract.ts';
import { accessContract } from './contract-access.ts';
import { memoryDriver, serveRegistry } from './running-registry.ts';

registryContract('registry on the inmemory driver', async () => serveRegistry(await memoryDriver()));
accessContract('registry on the inmemory driver', memoryDriver);
