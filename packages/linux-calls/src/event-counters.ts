import { readlinkSync } from "node:fs";
import { invoke, invokeUnlessBusy } from "./libc.ts";

const EFD_NONBLOCK = 0o4000;
const EFD_CLOEXEC = 0o2000000;
const F_GETFL = 3;
const F_SETFL = 4;
const counterLength = 8;
const one = Buffer.from([1, 0, 0, 0, 0, 0, 0, 0]);
const taken = Buffer.alloc(counterLength);

/** An eventfd that counts from 0. The caller owns the descriptor, which does not block and is not inherited. */
export function createEventCounter(): number {
  return invoke("eventfd", "", 0, EFD_NONBLOCK | EFD_CLOEXEC);
}

/**
 * Whether a descriptor of another process is an eventfd, which then does not block any more: not even a peer that fills the
 * counter can make this process wait.
 */
export function becomesEventCounter(descriptor: number): boolean {
  if (readlinkSync(`/proc/self/fd/${descriptor}`) !== "anon_inode:[eventfd]") return false;
  const flags = invoke("fcntl", "F_GETFL", descriptor, F_GETFL, 0);
  invoke("fcntl", "F_SETFL", descriptor, F_SETFL, flags | EFD_NONBLOCK);
  return true;
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
