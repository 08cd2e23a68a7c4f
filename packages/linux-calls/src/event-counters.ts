import { invoke, invokeUnlessBusy } from "./libc.ts";

const EFD_NONBLOCK = 0o4000;
const EFD_CLOEXEC = 0o2000000;
const counterLength = 8;
const one = Buffer.from([1, 0, 0, 0, 0, 0, 0, 0]);
const taken = Buffer.alloc(counterLength);

/** An eventfd that counts from 0. The caller owns the descriptor, which does not block and is not inherited. */
export function createEventCounter(): number {
  return invoke("eventfd", "", 0, EFD_NONBLOCK | EFD_CLOEXEC);
}

/** Adds an event, unless the counter is full, which wakes its reader as well. */
export function signalEvent(counter: number): void {
  invokeUnlessBusy("write", "event counter", counter, one, counterLength);
}

/** Sets the counter to 0 and returns what it was. */
export function takeEvents(counter: number): bigint {
  const length = invokeUnlessBusy("read", "event counter", counter, taken, counterLength);
  return length === counterLength ? taken.readBigUInt64LE() : 0n;
}
