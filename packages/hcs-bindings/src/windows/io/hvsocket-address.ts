import { systemStructures } from "../native/system-structures.ts";

/** AF_HYPERV (ws2def.h) and HV_PROTOCOL_RAW (hvsocket.h). */
export const hypervFamily = 34;
/** HV_PROTOCOL_RAW of hvsocket.h: the protocol of every hvsocket. */
export const hypervProtocol = 1;

/** HV_GUID_WILDCARD: also the local address of a socket that connects. */
export const wildcardGuid = "00000000-0000-0000-0000-000000000000";

/** SOCKADDR_HV of a service of a VM, both given by GUID. */
export function hypervAddress(vmId: string, serviceId: string): Buffer {
  return systemStructures.SOCKADDR_HV.encode({ Family: hypervFamily, VmId: vmId, ServiceId: serviceId });
}
