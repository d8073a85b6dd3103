import { registryContract } from '../registry/contract.ts';
import { serveRegistry } from '../registry/running-registry.ts';
import { p2pScene } from './p2p-scene.ts';

registryContract('registry on the p2p driver', async () => serveRegistry((await p2pScene()).driver));
