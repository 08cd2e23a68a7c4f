import { type ScriptedCalls, scriptedError } from "@uvm-shim/lifecycle/testing";

/** Reservations of one device class. Each is an entry, mapped or not, until it is unmapped. */
export class FakeReservations {
  readonly reserved = new Map<string, string>();
  readonly mapped = new Set<string>();
  readonly #name: string;
  readonly #guestRoot: string;
  readonly #script: ScriptedCalls;
  #last = 0;

  constructor(name: string, guestRoot: string, script: ScriptedCalls) {
    this.#name = name;
    this.#guestRoot = guestRoot;
    this.#script = script;
  }

  protected placeOf(_reservation: string): string | undefined {
    return undefined;
  }

  protected add(hostPath: string): string {
    const reservation = `${this.#name}${this.#last++}`;
    this.reserved.set(reservation, hostPath);
    return reservation;
  }

  mapToGuest(reservation: string, signal?: AbortSignal): Promise<string> {
    return this.#script.run(`map ${this.#name}`, this.reserved.get(reservation) ?? "", signal, () => {
      this.mapped.add(reservation);
      return this.placeOf(reservation) ?? `${this.#guestRoot}/${reservation}`;
    });
  }

  unmapFromGuest(reservation: string, signal?: AbortSignal): Promise<void> {
    return this.#script.run(`unmap ${this.#name}`, this.reserved.get(reservation) ?? "", signal, () => {
      this.mapped.delete(reservation);
      if (!this.reserved.delete(reservation)) throw scriptedError("NotFound", `no reservation ${reservation}`);
    });
  }
}
