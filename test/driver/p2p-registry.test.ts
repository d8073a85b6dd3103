import { registryContract } from '../registry/contract.ts';
import { accessContract } from '../registry/contract-access.ts';
import { serveRegistry } from '../registry/running-registry.ts';
import { p2pScene } from './p2p-scene.ts';

const makeDriver = async () => (await p2pScene()).driver;

registryContract('registry on the p2p driver', async () => serveRegistry(await makeDriver()));
accessContract('registry on the p2p driver', makeDriver);
