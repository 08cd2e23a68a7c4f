import { type HresultName, hresults } from "@uvm-shim/hcs-schema";

/** Results that the real guest sends as the NTSTATUS of the service's facility; the others are HRESULTs. */
const writtenAsStatus: readonly HresultName[] = [
  "HCS_E_CONNECTION_TIMEOUT",
  "HCS_E_UNKNOWN_MESSAGE",
  "HCS_E_UNSUPPORTED_PROTOCOL_VERSION",
  "HCS_E_INVALID_JSON",
  "HCS_E_SYSTEM_NOT_FOUND",
  "HCS_E_SYSTEM_ALREADY_EXISTS",
  "HCS_E_SYSTEM_ALREADY_STOPPED",
];
const statuses: ReadonlySet<number> = new Set(writtenAsStatus.map((name) => hresults[name]));
/** Distinguishes the NTSTATUS 0xC0370xxx from the HRESULT 0x80370xxx. */
const statusBit = 0x40000000;

/** A result as hcsshim's guest sends it: some HRESULTs have the bit that makes them NTSTATUS. */
export function writeResult(hresult: number): number {
  return statuses.has(hresult) ? hresult | statusBit : hresult;
}
