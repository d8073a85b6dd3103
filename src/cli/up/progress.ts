import { MultiBar, type SingleBar } from 'cli-progress';
import { formatSize } from '../values.ts';

/** Something that takes a while, measured in bytes. */
export interface ProgressTask {
  /** Adds bytes that are done. */
  add(bytes: number): void;
  /** Ends it, with a word on how it went. */
  done(outcome: string): void;
}

/** Shows several tasks at once. */
export interface Progress {
  task(name: string, totalBytes: number): ProgressTask;
  /** Ends the drawing; lines may be written afterwards. */
  stop(): void;
}

/** What progress is written to. */
export interface ProgressStream extends NodeJS.WritableStream {
  readonly isTTY?: boolean;
}

/** Live bars on a terminal, plain lines anywhere else. */
export function openProgress(stream: ProgressStream): Progress {
  return stream.isTTY === true ? new BarProgress(stream) : new LineProgress(stream);
}

const NAME_WIDTH = 8;

class BarProgress implements Progress {
  readonly #bars: MultiBar;

  constructor(stream: NodeJS.WritableStream) {
    this.#bars = new MultiBar({
      stream,
      format: '  {name} {bar} {done} of {size} {rate}/s {outcome}',
      barCompleteChar: '█',
      barIncompleteChar: '░',
      barsize: 16,
      hideCursor: true,
      clearOnComplete: false,
      fps: 8,
    });
  }

  task(name: string, totalBytes: number): ProgressTask {
    const meter = new Meter(totalBytes);
    const fields = (outcome: string) => ({ name: name.padEnd(NAME_WIDTH), outcome, ...meter.fields() });
    const bar: SingleBar = this.#bars.create(Math.max(1, totalBytes), 0, fields(''));
    return {
      add: (bytes) => {
        meter.add(bytes);
        bar.update(meter.doneBytes, fields(''));
      },
      done: (outcome) => {
        bar.update(meter.doneBytes, fields(outcome));
        bar.stop();
      },
    };
  }

  stop(): void {
    this.#bars.stop();
  }
}

const LINE_EVERY_MS = 2_000;

/** A line a task every two seconds while it moves, and one at its end. */
class LineProgress implements Progress {
  readonly #stream: NodeJS.WritableStream;

  constructor(stream: NodeJS.WritableStream) {
    this.#stream = stream;
  }

  task(name: string, totalBytes: number): ProgressTask {
    const meter = new Meter(totalBytes);
    let lastMs = performance.now();
    const write = (outcome: string) => {
      const { done, size, rate } = meter.fields();
      this.#stream.write(`  ${name.padEnd(NAME_WIDTH)} ${done} of ${size} ${rate}/s ${outcome}`.trimEnd().concat('\n'));
    };
    return {
      add: (bytes) => {
        meter.add(bytes);
        if (performance.now() - lastMs < LINE_EVERY_MS) return;
        lastMs = performance.now();
        write('');
      },
      done: write,
    };
  }

  stop(): void {}
}

class Meter {
  readonly #totalBytes: number;
  readonly #startMs = performance.now();
  doneBytes = 0;

  constructor(totalBytes: number) {
    this.#totalBytes = totalBytes;
  }

  add(bytes: number): void {
    this.doneBytes += bytes;
  }

  fields(): { done: string; size: string; rate: string } {
    const seconds = Math.max(0.001, (performance.now() - this.#startMs) / 1000);
    return {
      done: formatSize(this.doneBytes),
      size: formatSize(this.#totalBytes),
      rate: formatSize(Math.round(this.doneBytes / seconds)),
    };
  }
}
