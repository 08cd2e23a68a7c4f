import type { Ring } from "./vhost-user/ring.ts";
import { readPacket, roomIn, writePacket } from "./vsock/packet.ts";
import type { VsockTransport } from "./vsock/transport.ts";

/** Chains of each queue in one turn of the event loop, so that one guest does not starve the others. */
const chainsPerTurn = 64;
const toGuest = 0;
const fromGuest = 1;

/** Moves packets between a machine's queues and the transport, in turns of the event loop of its own. */
export class QueueWork {
  readonly #transport: VsockTransport;
  readonly #onError: (error: unknown) => void;
  #rings: readonly Ring[] = [];
  #isDue = false;
  #isStopped = false;

  constructor(transport: VsockTransport, onError: (error: unknown) => void) {
    this.#transport = transport;
    this.#onError = onError;
  }

  serve(rings: readonly Ring[]): void {
    this.#rings = rings;
  }

  /** There may be something to move. */
  wake(): void {
    if (this.#isDue || this.#isStopped) return;
    this.#isDue = true;
    setImmediate(() => {
      this.#isDue = false;
      if (this.#isStopped) return;
      try {
        this.#turn();
      } catch (error) {
        this.#onError(error);
      }
    });
  }

  /** Nothing is moved afterwards. */
  stop(): void {
    this.#isStopped = true;
  }

  #turn(): void {
    const hasMore = [this.#receive(this.#rings[fromGuest]), this.#send(this.#rings[toGuest])];
    if (hasMore.includes(true)) this.wake();
  }

  /** True if there is more than one turn's share. */
  #receive(ring: Ring | undefined): boolean {
    const queue = ring?.queue;
    if (ring === undefined || queue === undefined) return false;
    let taken = 0;
    let isEmpty = false;
    queue.ignoreKicks();
    for (; taken < chainsPerTurn && this.#transport.takesPackets; taken++) {
      const chain = queue.take();
      if (chain === undefined) {
        isEmpty = true;
        break;
      }
      this.#transport.receive(readPacket(chain));
      queue.giveBack(chain.head, 0);
    }
    if (queue.publish()) ring.interrupt();
    if (isEmpty) return queue.awaitKick();
    return this.#transport.takesPackets;
  }

  #send(ring: Ring | undefined): boolean {
    const queue = ring?.queue;
    if (ring === undefined || queue === undefined) return false;
    const couldReceive = this.#transport.takesPackets;
    let isEmpty = false;
    queue.ignoreKicks();
    for (let sent = 0; sent < chainsPerTurn && this.#transport.hasOutput; sent++) {
      const chain = queue.take();
      if (chain === undefined) {
        isEmpty = true;
        break;
      }
      const packet = this.#transport.next(roomIn(chain));
      queue.giveBack(chain.head, packet === undefined ? 0 : writePacket(chain, packet.header, packet.data));
    }
    if (queue.publish()) ring.interrupt();
    if (isEmpty) return queue.awaitKick();
    return this.#transport.hasOutput || couldReceive !== this.#transport.takesPackets;
  }
}
