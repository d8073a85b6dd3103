/** Opens an ipc driver and waits to be killed: `ipc-parent.ts <folder> <program> [words…]`. Prints a line when it is open. */
import { createIpcDriver } from '../../../src/driver/ipc/index.ts';

const [rootdirectory, ...exec] = process.argv.slice(2);
const driver = await createIpcDriver({ exec, rootdirectory });
await driver.putContent('/ready', Buffer.from('ready'));
console.log('ready');
setInterval(() => undefined, 1000);
