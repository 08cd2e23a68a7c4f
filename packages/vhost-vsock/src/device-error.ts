/**
 * What ends a device by itself. "protocol": the machine broke the vhost-user protocol; "memory": an address outside the
 * guest's memory; "queue": a virtqueue that no driver may make; "packet": a vsock packet that none may send; "disconnected":
 * the machine is gone; "internal": a fault of this package.
 */
export const deviceErrorCodes = ["protocol", "memory", "queue", "packet", "disconnected", "internal"] as const;
/** One of {@link deviceErrorCodes}. */
export type DeviceErrorCode = (typeof deviceErrorCodes)[number];

/** Why a device ended. A guest can bring it about, so it never ends more than its own device. */
export class VsockDeviceError extends Error {
  override readonly name = "VsockDeviceError";
  readonly code: DeviceErrorCode;

  constructor(code: DeviceErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** The error as it is, or as the cause of an internal one. */
export function deviceErrorOf(error: unknown): VsockDeviceError {
  if (error instanceof VsockDeviceError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new VsockDeviceError("internal", `the vsock device failed: ${message}`, { cause: error });
}
