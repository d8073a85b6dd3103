import { registryContract } from './contract.ts';
import { memoryDriver, serveRegistry } from './running-registry.ts';

registryContract('registry on the inmemory driver', async () => serveRegistry(await memoryDriver()));
