import { ControllerError, OperationQueue, wrapError } from "@uvm-shim/lifecycle";

/** What several users have of the host at a time: a share, or a pipe. */
export interface SharedItem<Config> {
  /** For messages. */
  readonly title: string;
  /** Whether the VM has it or can still get it. */
  readonly isUsable: boolean;
  /** Whether the VM keeps it without users. */
  readonly isKept: boolean;
  /** Brings it into the VM where it is not yet, and returns the path in the guest for the user's configuration. */
  ensureUsable(config: Config, signal?: AbortSignal): Promise<string>;
  /** Removes it unless it is to be kept, when its last user has gone. */
  ensureReleased(signal?: AbortSignal): Promise<void>;
}

/** All users of one item. */
export interface ItemUsers<Config, Item> {
  readonly key: string;
  /** What each user wants, by reservation. */
  readonly holders: Map<string, Config>;
  readonly queue: OperationQueue;
  item: Item;
}

/** What `Reservations` are made from. */
export interface ReservationsOptions<Config, Item> {
  /** Id of the VM, for messages. */
  readonly id: string;
  /** What the items are, for messages: "share". */
  readonly subject: string;
  /** A new id for a reservation. */
  readonly newId: () => string;
  readonly newItem: (config: Config) => Item;
}

/**
 * Reservations of items that are counted. A user reserves, maps, and finally unmaps, even if mapping failed; a failed
 * unmap is repeated until it succeeds. Operations on one item run in order; different items do not wait for each other.
 */
export class Reservations<Config, Item extends SharedItem<Config>> {
  readonly #options: ReservationsOptions<Config, Item>;
  readonly #users = new Map<string, ItemUsers<Config, Item>>();
  readonly #reservations = new Map<string, ItemUsers<Config, Item>>();

  constructor(options: ReservationsOptions<Config, Item>) {
    this.#options = options;
  }

  get all(): readonly ItemUsers<Config, Item>[] {
    return [...this.#users.values()];
  }

  /** Returns the reservation's id. Those with the same key are users of one item. */
  reserve(key: string, config: Config): string {
    const users = this.#users.get(key) ?? {
      key,
      holders: new Map<string, Config>(),
      queue: new OperationQueue(),
      item: this.#options.newItem(config),
    };
    const reservation = this.#options.newId();
    users.holders.set(reservation, config);
    this.#users.set(key, users);
    this.#reservations.set(reservation, users);
    return reservation;
  }

  async map(reservation: string, signal?: AbortSignal): Promise<string> {
    const { id, subject, newItem } = this.#options;
    const operation = `map ${subject}`;
    const { users } = this.#require(reservation, operation);
    try {
      return await users.queue.run(async () => {
        // It may have been unmapped while this waited for its turn.
        const { config } = this.#require(reservation, operation);
        if (!users.item.isUsable) {
          await users.item.ensureReleased(signal);
          users.item = newItem(config);
        }
        return await users.item.ensureUsable(config, signal);
      }, signal);
    } catch (error) {
      throw wrapError(error, operation, `${id} ${users.item.title}`);
    }
  }

  async unmap(reservation: string, signal?: AbortSignal): Promise<void> {
    const users = this.#reservations.get(reservation);
    if (users === undefined) return;
    const { id, subject } = this.#options;
    try {
      await users.queue.run(async () => {
        if (!this.#reservations.has(reservation)) return;
        if (users.holders.size === 1) await users.item.ensureReleased(signal);
        users.holders.delete(reservation);
        this.#reservations.delete(reservation);
        // Checked only now: others may have reserved it while the host removed it; they map a new one.
        if (users.holders.size === 0 && !users.item.isKept) this.#users.delete(users.key);
      }, signal);
    } catch (error) {
      throw wrapError(error, `unmap ${subject}`, `${id} ${users.item.title}`);
    }
  }

  #require(
    reservation: string,
    operation: string,
  ): { readonly users: ItemUsers<Config, Item>; readonly config: Config } {
    const users = this.#reservations.get(reservation);
    const config = users?.holders.get(reservation);
    if (users !== undefined && config !== undefined) return { users, config };
    throw new ControllerError("NotFound", `no reservation ${reservation}`, { operation, id: this.#options.id });
  }
}
