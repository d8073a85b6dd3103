import { cases } from './cases.ts';

/** What `--help` prints. */
export const helpText = `Simulates a fleet of hosts that fetch the same blobs, with production's own dispatcher, suggester,
neighbourhood and hand-out, in virtual time.

node bench/simulator/main.ts [--case NAME] [options]

  --case NAME              ${Object.keys(cases).join(', ')};
                           other options change it
  --hosts N                agents (8)
  --origins N              dedicated seeders that have all blobs (1)
  --blobs [N x]SIZE        such as 2x1.5GB (64MiB); all are fetched at once
  --rate RATE              of each host's link, in both directions: 300MB/s, 50mbit (50mbit)
  --header-share SHARE     what headers take of every rate; 0.044 for rates on the wire (0)
  --origin-rate RATE       of the origins' links, when it is another
  --latency MS             one way (0.2); --latency-spread SHARE: how far single wires differ (0.2)
  --arrivals KIND:TIME     when hosts begin: jitter:50ms, even:10s, uniform:10s, poisson:10s (jitter:50ms)
  --slow COUNT:RATE        hosts with a slower link; they are reported apart
  --kill SHARE@SHARE       this share of the hosts dies at this share of the floor
  --churn N                random agents that restart, a minute (0)
  --warm N                 agents that have everything already (0)
  --degree N               wires that a download tries to have (10); --max-wires N (16); --origin-wires N (60)
  --piece-length SIZE      (what production chooses); --pieces-scale N: coarser by N, for a quick look
  --hash-rate RATE         hashing and storing on one host (900MB/s); --store-ms MS: and a piece besides (0.5)
  --start-ms MS            from a client's request to the agent's first announce (20)
  --dial-ms MS             a dial, beyond three latencies (3); --dials-at-once N (4); --accept-rate N a second (50)
  --announce-ms MS         an announce, beyond waiting (5); --announce-interval S (3)
  --tracker-rate N         announces a second that the trackers take together (20000)
  --have-batch-ms MS       how long a HAVE may wait at its receiver (1; 5 above 500 hosts, 10 above 5000)
  --quantum SIZE           what an uplink sends of one wire before the next one's turn (a whole piece)
  --serve-order ORDER      whom an uplink serves next: turns, behind (who has least), or mixed (turns)
  --zones N                hosts are in so many zones, at random (1)
  --no-stream              clients do not read while blobs arrive
  --seed N                 another run with the same options (1)
  --max-seconds S          of virtual time (3600)
  --json                   the whole result on standard output
  --plot FILE              where the plot goes; none for no plot (bench/results/simulate-….svg)`;
