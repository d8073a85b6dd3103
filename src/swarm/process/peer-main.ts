/**
 * The program of a peer process: started by `PeerProcess` with an IPC channel, over which it is told everything. It ends
 * when the channel closes, so it never outlives the main process.
 */
import type { ChannelMessage } from './channel.ts';
import { PeerHost } from './peer-host.ts';

/** The main process decides when this one ends; a terminal, or the service manager, sends these to both. */
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined);

const host = new PeerHost((message) => {
  // A channel that is gone ends the process anyway.
  process.send?.(message, undefined, {}, (error) => {
    if (error !== null) process.exit(1);
  });
});

process.on('disconnect', () => process.exit(0));
process.on('message', (message) => host.channel.receive(message as ChannelMessage));
