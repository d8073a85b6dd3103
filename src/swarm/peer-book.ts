import { formatAddress, type PeerAddress } from '../core/index.ts';

/** One peer of a blob: what is known of it, under a number of its own. */
export interface KnownPeer {
  readonly number: number;
  /** Its peer id, once known: a peer that another one has named comes with its address only. */
  id: string | undefined;
  /** Where it listens; `undefined` for one that dialled and that nobody has named. */
  address: PeerAddress | undefined;
  /** Whether it has a wire. */
  wired: boolean;
}

/** Banned ids and addresses that are remembered. */
const MAX_BANNED = 1_024;

/**
 * Numbers for the peers of one blob, so that the neighbourhood can reckon with integers: by peer id and by the address at
 * which the peer listens. Bounded by what the neighbourhood keeps: it says whom it has forgotten.
 */
export class PeerBook {
  readonly #byNumber = new Map<number, KnownPeer>();
  readonly #byId = new Map<string, KnownPeer>();
  readonly #byAddress = new Map<string, KnownPeer>();
  readonly #banned = new Set<string>();
  #next = 0;

  /** How many peers have a number. */
  get size(): number {
    return this.#byNumber.size;
  }

  get(number: number): KnownPeer | undefined {
    return this.#byNumber.get(number);
  }

  /** The peer that listens at an address; its id where the tracker has told it. `undefined` when it is banned. */
  atAddress(address: PeerAddress, id?: string): KnownPeer | undefined {
    const where = formatAddress(address);
    if (this.#banned.has(where) || (id !== undefined && this.#banned.has(id))) return undefined;
    let peer = (id === undefined ? undefined : this.#byId.get(id)) ?? this.#byAddress.get(where);
    peer ??= this.#add();
    if (id !== undefined) this.#setId(peer, id);
    this.#setAddress(peer, where, address);
    return peer;
  }

  /** The peer at the other end of a wire: the one that was dialled at `address`, or one that has dialled us. */
  atWire(id: string, dialledAddress: string | undefined): KnownPeer | undefined {
    if (this.isBanned(id, dialledAddress)) return undefined;
    const dialled = dialledAddress === undefined ? undefined : this.#byAddress.get(dialledAddress);
    const peer = dialled ?? this.#byId.get(id) ?? this.#add();
    this.#setId(peer, id);
    return peer;
  }

  isBanned(id: string, address: string | undefined): boolean {
    return this.#banned.has(id) || (address !== undefined && this.#banned.has(address));
  }

  /** Never to be found again by id, nor at an address that is given. @returns its number, if it has one */
  ban(id: string, address: string | undefined): number | undefined {
    const peer = this.#byId.get(id) ?? (address === undefined ? undefined : this.#byAddress.get(address));
    if (this.#banned.size < MAX_BANNED) this.#banned.add(id);
    if (this.#banned.size < MAX_BANNED && address !== undefined) this.#banned.add(address);
    return peer?.number;
  }

  /** The peer that listens at `host:port`, if it is known. */
  findAddress(where: string): KnownPeer | undefined {
    return this.#byAddress.get(where);
  }

  forget(number: number): void {
    const peer = this.#byNumber.get(number);
    if (peer === undefined) return;
    this.#byNumber.delete(number);
    if (peer.id !== undefined && this.#byId.get(peer.id) === peer) this.#byId.delete(peer.id);
    const where = peer.address === undefined ? undefined : formatAddress(peer.address);
    if (where !== undefined && this.#byAddress.get(where) === peer) this.#byAddress.delete(where);
  }

  /** Forgets a peer that has neither a wire nor an address: its number is of no use. */
  forgetStranger(id: string): void {
    const peer = this.#byId.get(id);
    if (peer !== undefined && !peer.wired && peer.address === undefined) this.forget(peer.number);
  }

  #add(): KnownPeer {
    const peer: KnownPeer = { number: this.#next++, id: undefined, address: undefined, wired: false };
    this.#byNumber.set(peer.number, peer);
    return peer;
  }

  #setId(peer: KnownPeer, id: string): void {
    if (peer.id === id) return;
    // A process that started again on the same port has another id.
    if (peer.id !== undefined && this.#byId.get(peer.id) === peer) this.#byId.delete(peer.id);
    peer.id = id;
    this.#byId.set(id, peer);
  }

  #setAddress(peer: KnownPeer, where: string, address: PeerAddress): void {
    const before = peer.address === undefined ? undefined : formatAddress(peer.address);
    if (before === where) return;
    if (before !== undefined && this.#byAddress.get(before) === peer) this.#byAddress.delete(before);
    peer.address = address;
    this.#byAddress.set(where, peer);
  }
}
