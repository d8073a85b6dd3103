import type { ByteRange } from '../../core/index.ts';
import type { Download, DownloadReader } from '../swarm.ts';
import type { DownloadCarrier } from './download-carrier.ts';

interface Reader {
  readonly end: number;
  offset: number;
  /** Once the download goes on in this process. */
  here: DownloadReader | undefined;
}

/** The readers of a download in another process: that is told where they stand, until the download goes on in this one. */
export class DelegatedReaders {
  readonly #pieceLength: number;
  readonly #carrier: Pick<DownloadCarrier, 'moveReader'>;
  readonly #readers = new Map<number, Reader>();
  #successor: Download | undefined;
  #lastId = 0;

  constructor(pieceLength: number, carrier: Pick<DownloadCarrier, 'moveReader'>) {
    this.#pieceLength = pieceLength;
    this.#carrier = carrier;
  }

  open(range: ByteRange): DownloadReader {
    if (this.#successor !== undefined) return this.#successor.openReader(range);
    this.#lastId += 1;
    const id = this.#lastId;
    const reader: Reader = { offset: range.offset, end: range.offset + range.length, here: undefined };
    this.#readers.set(id, reader);
    this.#carrier.moveReader(id, range);
    return { moveTo: (offset) => this.#move(id, reader, offset), close: () => this.#close(id, reader) };
  }

  /** All readers go on with a download in this process. */
  moveTo(successor: Download): void {
    this.#successor = successor;
    for (const reader of this.#readers.values()) {
      reader.here = successor.openReader({ offset: reader.offset, length: reader.end - reader.offset });
    }
  }

  #move(id: number, reader: Reader, offset: number): void {
    const before = reader.offset;
    reader.offset = Math.min(offset, reader.end);
    if (reader.here !== undefined) reader.here.moveTo(offset);
    // Only which piece it stands in matters.
    else if (Math.floor(before / this.#pieceLength) !== Math.floor(offset / this.#pieceLength)) {
      this.#carrier.moveReader(id, { offset: reader.offset, length: reader.end - reader.offset });
    }
  }

  #close(id: number, reader: Reader): void {
    if (!this.#readers.delete(id)) return;
    if (reader.here === undefined) this.#carrier.moveReader(id, undefined);
    else reader.here.close();
  }
}
