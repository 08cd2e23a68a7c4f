/** Errors of GetLastError and WSAGetLastError (winerror.h). */
export const windowsErrors = {
  ERROR_FILE_NOT_FOUND: 2,
  ERROR_ACCESS_DENIED: 5,
  ERROR_BROKEN_PIPE: 109,
  ERROR_ALREADY_EXISTS: 183,
  ERROR_PIPE_BUSY: 231,
  ERROR_NO_DATA: 232,
  ERROR_PIPE_NOT_CONNECTED: 233,
  ERROR_PIPE_CONNECTED: 535,
  ERROR_NETNAME_DELETED: 64,
  ERROR_OPERATION_ABORTED: 995,
  ERROR_IO_PENDING: 997,
  ERROR_CONNECTION_ABORTED: 1236,
  WSAEACCES: 10013,
  WSAEADDRINUSE: 10048,
  WSAEADDRNOTAVAIL: 10049,
  WSAECONNABORTED: 10053,
  WSAECONNRESET: 10054,
  WSAENOTCONN: 10057,
  WSAESHUTDOWN: 10058,
  WSAETIMEDOUT: 10060,
  WSAECONNREFUSED: 10061,
} as const;

type WindowsErrorName = keyof typeof windowsErrors;

/** Codes of Node for these errors, for code that checks errors of streams. */
const codes: { readonly [Name in WindowsErrorName]?: string } = {
  ERROR_FILE_NOT_FOUND: "ENOENT",
  ERROR_ACCESS_DENIED: "EACCES",
  ERROR_ALREADY_EXISTS: "EEXIST",
  ERROR_BROKEN_PIPE: "EPIPE",
  ERROR_NO_DATA: "EPIPE",
  ERROR_PIPE_NOT_CONNECTED: "EPIPE",
  ERROR_NETNAME_DELETED: "ECONNRESET",
  ERROR_OPERATION_ABORTED: "ECANCELED",
  ERROR_CONNECTION_ABORTED: "ECONNABORTED",
  WSAEACCES: "EACCES",
  WSAEADDRINUSE: "EADDRINUSE",
  WSAEADDRNOTAVAIL: "EADDRNOTAVAIL",
  WSAECONNABORTED: "ECONNABORTED",
  WSAECONNRESET: "ECONNRESET",
  WSAENOTCONN: "ENOTCONN",
  WSAESHUTDOWN: "EPIPE",
  WSAETIMEDOUT: "ETIMEDOUT",
  WSAECONNREFUSED: "ECONNREFUSED",
};

const names = new Map(Object.entries(windowsErrors).map(([name, number]) => [number as number, name]));

/** A failed call of Windows. */
export class WindowsError extends Error {
  override readonly name = "WindowsError";
  /** Code of Node, if there is one. */
  readonly code: string;
  /** Number of the Windows error. */
  readonly errno: number;
  readonly syscall: string;

  constructor(syscall: string, errno: number) {
    const name = names.get(errno);
    const code = codes[name as WindowsErrorName] ?? "EIO";
    super(`${syscall} ${code}: Windows error ${errno}${name === undefined ? "" : ` (${name})`}`);
    this.code = code;
    this.errno = errno;
    this.syscall = syscall;
  }
}
