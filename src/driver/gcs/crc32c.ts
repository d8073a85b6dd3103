/** The polynomial of CRC32C (Castagnoli), bits reversed. */
const polynomial = 0x82f63b78;

/** Eight tables: one for each byte of those that are taken in one step ("slicing by 8"). */
const tables = makeTables();

/**
 * The CRC32C of bytes, which the service knows of every object; Node's own `crc32` has another polynomial.
 * Continues that of the bytes in front, when it is given.
 */
export function crc32c(bytes: Uint8Array, before = 0): number {
  const [t0, t1, t2, t3, t4, t5, t6, t7] = tables as [Table, Table, Table, Table, Table, Table, Table, Table];
  const at = (table: Table, index: number) => table[index & 0xff] as number;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let crc = ~before;
  let offset = 0;
  for (; offset + 8 <= bytes.length; offset += 8) {
    const low = crc ^ view.getInt32(offset, true);
    const high = view.getInt32(offset + 4, true);
    crc =
      at(t7, low) ^
      at(t6, low >>> 8) ^
      at(t5, low >>> 16) ^
      at(t4, low >>> 24) ^
      at(t3, high) ^
      at(t2, high >>> 8) ^
      at(t1, high >>> 16) ^
      at(t0, high >>> 24);
  }
  for (; offset < bytes.length; offset++) crc = (crc >>> 8) ^ at(t0, crc ^ (bytes[offset] as number));
  return ~crc >>> 0;
}

/** The CRC32C of two runs of bytes one after the other, from that of each, and the length of the second. */
export function combineCrc32c(first: number, second: number, secondBytes: number): number {
  // As many zero bytes behind the first as the second has: a matrix over bits, squared for each bit of the length (zlib's way).
  let matrix = squared(squared(squared(oneZeroBit())));
  let crc = first;
  for (let length = secondBytes; length > 0; length = Math.floor(length / 2)) {
    if (length % 2 === 1) crc = times(matrix, crc);
    matrix = squared(matrix);
  }
  return (crc ^ second) >>> 0;
}

/** As the service writes it: base64 of four bytes, the highest first. */
export function formatCrc32c(crc: number): string {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(crc);
  return bytes.toString('base64');
}

/** The inverse of {@link formatCrc32c}; `undefined` for what is none. */
export function parseCrc32c(text: string | undefined): number | undefined {
  const bytes = Buffer.from(text ?? '', 'base64');
  return bytes.length === 4 ? bytes.readUInt32BE() : undefined;
}

type Table = Int32Array;

function makeTables(): Table[] {
  const first = Int32Array.from({ length: 256 }, (_, byte) => {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ polynomial : crc >>> 1;
    return crc;
  });
  const all = [first];
  for (let index = 1; index < 8; index++) {
    const before = all[index - 1] as Table;
    all.push(before.map((crc) => (crc >>> 8) ^ (first[crc & 0xff] as number)));
  }
  return all;
}

function oneZeroBit(): Table {
  return Int32Array.from({ length: 32 }, (_, bit) => (bit === 0 ? polynomial : 2 ** (bit - 1)));
}

function times(matrix: Table, vector: number): number {
  let product = 0;
  for (let bit = 0; bit < 32; bit++) if ((vector >>> bit) & 1) product ^= matrix[bit] as number;
  return product;
}

function squared(matrix: Table): Table {
  return matrix.map((column) => times(matrix, column));
}
