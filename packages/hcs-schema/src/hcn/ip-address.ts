/** IP addresses, prefixes and MAC addresses in the forms that HCN documents and guests use. */

/** An IPv4 or IPv6 address as a number, for comparing and counting. */
export interface IpAddress {
  readonly family: 4 | 6;
  /** As a number: 32 or 128 bits. */
  readonly value: bigint;
}

/** A subnet: an address of it, whose further bits may be set, and the number of leading bits that are fixed. */
export interface IpPrefix {
  readonly address: IpAddress;
  readonly length: number;
}

/** The number of bits of an address of this family. */
export function bitsOf(family: IpAddress["family"]): 32 | 128 {
  return family === 4 ? 32 : 128;
}

/** Undefined for anything that is not an address. Zones (`%eth0`) are not accepted. */
export function parseIpAddress(text: string): IpAddress | undefined {
  const value = text.includes(":") ? ipv6Value(text) : ipv4Value(text);
  return value === undefined ? undefined : { family: text.includes(":") ? 6 : 4, value };
}

function ipv4Value(text: string): bigint | undefined {
  const parts = text.split(".");
  if (parts.length !== 4 || !parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) < 256)) {
    return undefined;
  }
  return parts.reduce((value, part) => (value << 8n) | BigInt(part), 0n);
}

function ipv6Value(text: string): bigint | undefined {
  const embedded = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text);
  if (embedded !== null) {
    const tail = ipv4Value(embedded[2] ?? "");
    if (tail === undefined) return undefined;
    return ipv6Value(`${embedded[1]}${(tail >> 16n).toString(16)}:${(tail & 0xffffn).toString(16)}`);
  }
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const groupsOf = (half: string): readonly string[] => (half === "" ? [] : half.split(":"));
  const head = groupsOf(halves[0] ?? "");
  const tail = groupsOf(halves[1] ?? "");
  const missing = 8 - head.length - tail.length;
  if (halves.length === 1 ? missing !== 0 : missing < 1) return undefined;
  const groups = [...head, ...Array<string>(missing).fill("0"), ...tail];
  if (!groups.every((group) => /^[0-9a-f]{1,4}$/i.test(group))) return undefined;
  return groups.reduce((value, group) => (value << 16n) | BigInt(`0x${group}`), 0n);
}

/** `10.0.0.0/24`; bits after the prefix are kept. Undefined for anything that is not a prefix. */
export function parseIpPrefix(text: string): IpPrefix | undefined {
  const [, base, digits] = /^(.+)\/(\d{1,3})$/.exec(text) ?? [];
  const address = base === undefined ? undefined : parseIpAddress(base);
  const length = Number(digits);
  return address === undefined || length > bitsOf(address.family) ? undefined : { address, length };
}

/** Whether an address is in a subnet. One of the other family never is. */
export function prefixContains({ address, length }: IpPrefix, other: IpAddress): boolean {
  const rest = BigInt(bitsOf(address.family) - length);
  return address.family === other.family && address.value >> rest === other.value >> rest;
}

/** `0.0.0.0` and `::`, which mean that there is no address. */
export function isUnspecified({ value }: IpAddress): boolean {
  return value === 0n;
}

const macPattern =
  /^([0-9a-f]{2})[-:]([0-9a-f]{2})[-:]([0-9a-f]{2})[-:]([0-9a-f]{2})[-:]([0-9a-f]{2})[-:]([0-9a-f]{2})$/i;

/**
 * A unicast MAC address, in lower case with colons, from either of the usual forms (HCN writes `00-15-5D-00-00-01`).
 * Undefined for anything else, including multicast addresses and zero.
 */
export function parseMacAddress(text: string): string | undefined {
  const bytes = macPattern.exec(text)?.slice(1);
  if (bytes === undefined || bytes.every((byte) => byte === "00")) return undefined;
  if ((Number.parseInt(bytes[0] ?? "", 16) & 1) === 1) return undefined;
  return bytes.join(":").toLowerCase();
}
