/** HRESULTs that HCS, HCN and guests return, by symbolic name (winerror.h). */
export const hresults = {
  S_OK: 0,
  E_NOTIMPL: 0x80004001,
  E_ABORT: 0x80004004,
  E_FAIL: 0x80004005,
  E_UNEXPECTED: 0x8000ffff,
  ERROR_FILE_NOT_FOUND: 0x80070002,
  ERROR_PATH_NOT_FOUND: 0x80070003,
  ERROR_TOO_MANY_OPEN_FILES: 0x80070004,
  E_ACCESSDENIED: 0x80070005,
  ERROR_SHARING_VIOLATION: 0x80070020,
  ERROR_NOT_SUPPORTED: 0x80070032,
  ERROR_FILE_EXISTS: 0x80070050,
  E_INVALIDARG: 0x80070057,
  ERROR_ALREADY_EXISTS: 0x800700b7,
  ERROR_BAD_EXE_FORMAT: 0x800700c1,
  ERROR_DIRECTORY: 0x8007010b,
  ERROR_NOT_FOUND: 0x80070490,
  ERROR_NO_SYSTEM_RESOURCES: 0x800705aa,
  E_OUTOFMEMORY: 0x8007000e,
  HCS_E_TERMINATED_DURING_START: 0x80370100,
  HCS_E_IMAGE_MISMATCH: 0x80370101,
  HCS_E_HYPERV_NOT_INSTALLED: 0x80370102,
  HCS_E_INVALID_STATE: 0x80370105,
  HCS_E_UNEXPECTED_EXIT: 0x80370106,
  HCS_E_TERMINATED: 0x80370107,
  HCS_E_CONNECT_FAILED: 0x80370108,
  HCS_E_CONNECTION_TIMEOUT: 0x80370109,
  HCS_E_CONNECTION_CLOSED: 0x8037010a,
  HCS_E_UNKNOWN_MESSAGE: 0x8037010b,
  HCS_E_UNSUPPORTED_PROTOCOL_VERSION: 0x8037010c,
  HCS_E_INVALID_JSON: 0x8037010d,
  HCS_E_SYSTEM_NOT_FOUND: 0x8037010e,
  HCS_E_SYSTEM_ALREADY_EXISTS: 0x8037010f,
  HCS_E_SYSTEM_ALREADY_STOPPED: 0x80370110,
  HCS_E_PROTOCOL_ERROR: 0x80370111,
  HCS_E_INVALID_LAYER: 0x80370112,
  HCS_E_SERVICE_NOT_AVAILABLE: 0x80370114,
  HCS_E_OPERATION_PENDING: 0x80370117,
  HCS_E_OPERATION_TIMEOUT: 0x80370118,
  HCS_E_OPERATION_SYSTEM_CALLBACK_ALREADY_SET: 0x80370119,
  HCS_E_ACCESS_DENIED: 0x8037011b,
  HCS_E_SERVICE_DISCONNECT: 0x8037011e,
  HCS_E_PROCESS_ALREADY_STOPPED: 0x8037011f,
  HCS_E_SYSTEM_NOT_CONFIGURED_FOR_OPERATION: 0x80370120,
  HCN_E_NETWORK_NOT_FOUND: 0x803b0001,
  HCN_E_ENDPOINT_NOT_FOUND: 0x803b0002,
  HCN_E_PORT_NOT_FOUND: 0x803b0007,
  HCN_E_INVALID_ENDPOINT: 0x803b000c,
  HCN_E_NETWORK_ALREADY_EXISTS: 0x803b0010,
  HCN_E_PORT_ALREADY_EXISTS: 0x803b0013,
  HCN_E_ENDPOINT_ALREADY_ATTACHED: 0x803b0014,
  HCN_E_INVALID_JSON: 0x803b001b,
  HCN_E_INVALID_IP: 0x803b001e,
  HCN_E_ENDPOINT_NAMESPACE_ALREADY_EXISTS: 0x803b002b,
  HCN_E_ENTITY_HAS_REFERENCES: 0x803b002c,
  HCN_E_ADDR_INVALID_OR_RESERVED: 0x803b002f,
} as const;

/** The symbolic name of a result that this package knows, as the Windows headers have it. */
export type HresultName = keyof typeof hresults;

const names = new Map<number, HresultName>(
  (Object.keys(hresults) as HresultName[]).map((name) => [hresults[name], name]),
);

/** The one NTSTATUS of the service whose lower half differs from its HRESULT: "operation pending". */
const ntstatusOperationPending = 0xc0370103;

/**
 * One number for all forms of a result: unsigned, and an HRESULT even if the service returned the NTSTATUS of its
 * facility (0xC0370xxx means 0x80370xxx).
 */
export function canonicalHresult(result: number): number {
  const unsigned = result >>> 0;
  if (unsigned === ntstatusOperationPending) return hresults.HCS_E_OPERATION_PENDING;
  return unsigned >>> 16 === 0xc037 ? (0x80370000 | (unsigned & 0xffff)) >>> 0 : unsigned;
}

/** Symbolic name of a result in any of its forms; undefined when it is not listed here. */
export function hresultName(result: number): HresultName | undefined {
  return names.get(canonicalHresult(result));
}

/** "HCS_E_INVALID_STATE (0x80370105)", or the number alone when its name is not known. Shows the number as it came. */
export function describeHresult(result: number): string {
  const name = hresultName(result);
  const digits = `0x${(result >>> 0).toString(16).padStart(8, "0")}`;
  return name === undefined ? `HRESULT ${digits}` : `${name} (${digits})`;
}
