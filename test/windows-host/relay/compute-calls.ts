import { closeSync, openSync, statSync } from "node:fs";
import { availableParallelism } from "node:os";
import { type ComputeSystemProperties, resourcePaths, type SystemPropertyType } from "@uvm-shim/hcs-schema";
import type { EmulatedHostCalls } from "@uvm-shim/host-protocol";
import { credentialGuards, modifyCredentialGuards } from "./guest-calls.ts";
import { Refusal } from "./refusal.ts";
import type { Handler, Session } from "./session.ts";
import { localDocument, localPath } from "./windows-paths.ts";

interface SystemQuery {
  readonly Ids?: readonly string[];
  readonly Owners?: readonly string[];
  readonly Types?: readonly string[];
}

/** A call of the host that takes a handle and nothing else. */
type HandleCall = {
  [Name in keyof EmulatedHostCalls]: { readonly handle: number } extends EmulatedHostCalls[Name] ? Name : never;
}[keyof EmulatedHostCalls];

function onSystem(call: HandleCall): Handler {
  return async (session, number) => {
    const { client, handle } = await session.system(number);
    await client.call(call, { handle: handle.handle });
    return undefined;
  };
}

function freeze(isFrozen: boolean): Handler {
  return async (session, number) => {
    const { client, id } = await session.system(number);
    await client.call("freeze", { system: id, isFrozen });
    return undefined;
  };
}

async function requireFile(path: string | undefined): Promise<undefined> {
  statSync(localPath(path));
  return undefined;
}

async function makeFile(path: string | undefined): Promise<undefined> {
  closeSync(openSync(localPath(path), "wx"));
  return undefined;
}

async function close(session: Session, number = ""): Promise<undefined> {
  const opening = session.systems.get(number);
  session.systems.delete(number);
  // What was never opened, or is lost with its host, has nothing to close.
  const system = await opening?.catch(() => undefined);
  await system?.client.call("close", { handle: system.handle.handle }).catch(() => undefined);
  return undefined;
}

const pipePath = new RegExp(`^${resourcePaths.mappedPipe("")}(\\\\\\\\[.?]\\\\pipe\\\\.+)$`, "i");

/** The named pipe that a request maps, or no longer maps. */
function mappedPipeOf(request: unknown): { readonly pipe: string | undefined; readonly isAdded: boolean } {
  const { ResourcePath, RequestType } = request as { readonly ResourcePath?: unknown; readonly RequestType?: unknown };
  const [, pipe] = pipePath.exec(typeof ResourcePath === "string" ? ResourcePath : "") ?? [];
  return { pipe, isAdded: RequestType === "Add" };
}

const serviceProperties: { readonly [type: string]: (session: Session) => object | Promise<object> } = {
  ContainerCredentialGuard: credentialGuards,
  Basic: () => ({ SupportedSchemaVersions: [{ Major: 2, Minor: 1 }] }),
  ProcessorTopology: () => ({ LogicalProcessorCount: availableParallelism() }),
};

/** The functions of computecore.h that have to do with compute systems. */
export const computeCalls: { readonly [name: string]: Handler } = {
  HcsEnumerateComputeSystems: async (session, query) => {
    const { Ids, Owners, Types } = JSON.parse(query || "{}") as SystemQuery;
    const { systems } = await (await session.client()).call("enumerate", {});
    const isMatch = ({ Id = "", Owner = "", SystemType: type }: ComputeSystemProperties): boolean =>
      [Ids?.includes(Id), Owners?.includes(Owner), Types?.includes(type ?? "")].every((fits) => fits !== false);
    return JSON.stringify(systems.filter(isMatch));
  },

  HcsCreateComputeSystem: async (session, number = "", id = "", configuration) => {
    const document = localDocument(configuration);
    await session.adopt(number, async (client) => ({
      id,
      handle: await client.call("create", { system: id, document }),
    }));
    return undefined;
  },

  HcsOpenComputeSystem: async (session, number = "", id = "") => {
    await session.adopt(number, async (client) => ({ id, handle: await client.call("open", { system: id }) }));
    return undefined;
  },

  HcsCloseComputeSystem: close,
  HcsStartComputeSystem: onSystem("start"),
  HcsShutDownComputeSystem: onSystem("shutdown"),
  HcsTerminateComputeSystem: onSystem("terminate"),
  HcsPauseComputeSystem: freeze(true),
  HcsResumeComputeSystem: freeze(false),

  HcsGetComputeSystemProperties: async (session, number, query) => {
    const { PropertyTypes: types = [] } = JSON.parse(query || "{}") as {
      PropertyTypes?: readonly SystemPropertyType[];
    };
    const { client, handle } = await session.system(number);
    return JSON.stringify(await client.call("properties", { handle: handle.handle, types }));
  },

  HcsModifyComputeSystem: async (session, number, configuration) => {
    const { client, handle } = await session.system(number);
    const request = localDocument(configuration);
    const modify = (): Promise<object> => client.call("modify", { handle: handle.handle, request });
    const { pipe, isAdded } = mappedPipeOf(request);
    if (pipe === undefined) await modify();
    else if (isAdded) {
      await session.relay.pipes.add(pipe, session);
      await modify().catch((error: unknown) => {
        session.relay.pipes.remove(pipe, session);
        throw error;
      });
    } else {
      await modify();
      session.relay.pipes.remove(pipe, session);
    }
    return undefined;
  },

  HcsGetServiceProperties: async (session, query) => {
    const { PropertyTypes: types = [] } = JSON.parse(query || "{}") as { PropertyTypes?: readonly string[] };
    const Properties = types.map((type) => {
      const properties = serviceProperties[type];
      if (properties === undefined) throw new Refusal("E_INVALIDARG", `PropertyTypes: ${type} is not emulated`);
      return properties(session);
    });
    return JSON.stringify({ Properties: await Promise.all(Properties) });
  },

  HcsModifyServiceSettings: async (session, settings) => {
    const { PropertyType, Settings } = JSON.parse(settings || "{}") as { PropertyType?: string; Settings?: unknown };
    if (PropertyType !== "ContainerCredentialGuard") {
      throw new Refusal("E_NOTIMPL", `PropertyType: ${PropertyType} is not emulated`);
    }
    await modifyCredentialGuards(session, Settings);
    return undefined;
  },

  HcsGrantVmAccess: async (session, system = "", path) => {
    await (await session.client()).call("grantVmAccess", { system, path: localPath(path) });
    return undefined;
  },
  HcsRevokeVmAccess: (_session, _system, path) => requireFile(path),
  HcsGrantVmGroupAccess: (_session, path) => requireFile(path),
  HcsRevokeVmGroupAccess: (_session, path) => requireFile(path),
  HcsCreateEmptyGuestStateFile: (_session, path) => makeFile(path),
  HcsCreateEmptyRuntimeStateFile: (_session, path) => makeFile(path),
};
