/** Which hvsocket services a system's guest may use, beside what its document's defaults allow. */
import {
  checkGuid,
  checkHvSocketServiceConfig,
  type HvSocketDevice,
  type HvSocketServiceConfig,
  type ModifySettingRequest,
} from "@uvm-shim/hcs-schema";
import { HcsFailure } from "../hcs-failure.ts";

/** The resource path of a service in a VM's hvsocket table. */
export interface HvsocketResource {
  readonly kind: "hvsocket service";
  readonly service: string;
}

/** The table of services by GUID in lower case. Sockets are not held to it: the host's own listeners name their VM. */
export class SystemHvsockets {
  readonly #services: Map<string, HvSocketServiceConfig>;

  constructor(device: HvSocketDevice | undefined) {
    const { ServiceTable: table = {} } = device?.HvSocketConfig ?? {};
    this.#services = new Map(Object.entries(table).map(([service, config]) => [service.toLowerCase(), config]));
  }

  modify({ service }: HvsocketResource, { RequestType, ResourcePath, Settings }: ModifySettingRequest): void {
    switch (RequestType) {
      case "Add":
        throw new HcsFailure("E_INVALIDARG", `RequestType: expected "Update" or "Remove" for ${ResourcePath}`);
      case "Update": {
        const config = checkHvSocketServiceConfig(Settings, "Settings");
        if (allowsNothing(config)) this.#services.delete(service);
        else this.#services.set(service, config);
        return;
      }
      case "Remove":
        if (Settings !== undefined) {
          throw new HcsFailure("E_INVALIDARG", "Settings: expected none to remove an hvsocket service");
        }
        if (this.#services.delete(service)) return;
        throw new HcsFailure("ERROR_NOT_FOUND", `ResourcePath: hvsocket service ${service} is not in the table`);
    }
  }
}

/** Such an update takes the service out of the table. */
function allowsNothing({
  BindSecurityDescriptor,
  ConnectSecurityDescriptor,
  Disabled,
}: HvSocketServiceConfig): boolean {
  return !BindSecurityDescriptor && !ConnectSecurityDescriptor && Disabled !== true;
}

/** Throws E_INVALIDARG if the name is no GUID. */
export function hvsocketServiceOf(name: string): HvsocketResource {
  try {
    return { kind: "hvsocket service", service: checkGuid(name, "service").toLowerCase() };
  } catch (cause) {
    throw new HcsFailure("E_INVALIDARG", `ResourcePath: ${(cause as Error).message}`, { cause });
  }
}
