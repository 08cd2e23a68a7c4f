import { invoke } from "./libc.ts";

const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;

/**
 * Two connected Unix sockets. The caller owns both; they do not block, and children inherit only what is passed to them as
 * stdio.
 */
export function unixSocketPair(): readonly [number, number] {
  const ends = new Int32Array(2);
  invoke("socketpair", "AF_UNIX", AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends);
  return [ends[0] ?? -1, ends[1] ?? -1];
}
