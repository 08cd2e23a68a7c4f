import type { HcnObjectKind } from "@uvm-shim/hcs-schema";
import { Refusal } from "./refusal.ts";
import { type Handler, relayEvents, type Session } from "./session.ts";

/** HCN_NOTIFICATIONS, where there are some for an object of the kind. */
const notifications: { readonly [Kind in HcnObjectKind]?: { readonly created: number; readonly deleted: number } } = {
  network: { created: 2, deleted: 4 },
  namespace: { created: 5, deleted: 6 },
};

function announce(session: Session, kind: HcnObjectKind, change: "created" | "deleted", ID: string): void {
  const type = notifications[kind]?.[change];
  if (type === undefined) return;
  for (const other of session.relay.sessions) {
    if (other.hearsOfNetworks) other.sendEvent("0", relayEvents.network, `${type}${JSON.stringify({ ID })}`);
  }
}

function query(session: Session, kind: HcnObjectKind, object: string): Promise<{ readonly properties: unknown }> {
  return session.client().then((client) => client.call("queryNetworkObject", { kind, object }));
}

function callsOf(kind: HcnObjectKind, Kind: string): { readonly [name: string]: Handler } {
  return {
    [`HcnEnumerate${Kind}s`]: async (session) => {
      const ids = [...session.relay.networkObjects[kind]];
      const found = await Promise.all(
        ids.map((id) =>
          query(session, kind, id).then(
            () => [id],
            () => [],
          ),
        ),
      );
      return JSON.stringify(found.flat());
    },
    [`HcnCreate${Kind}`]: async (session, id = "", settings = "{}", network) => {
      const ID = id.toLowerCase();
      const given = { ...(JSON.parse(settings) as object), ID };
      const client = await session.client();
      await client.call("createNetworkObject", { kind, settings: given, ...(network !== undefined && { network }) });
      session.relay.networkObjects[kind].add(ID);
      announce(session, kind, "created", ID);
      return undefined;
    },
    [`HcnOpen${Kind}`]: async (session, id = "") => {
      await query(session, kind, id);
      return undefined;
    },
    [`HcnQuery${Kind}Properties`]: async (session, id = "") => {
      const { properties } = await query(session, kind, id);
      return JSON.stringify(properties);
    },
    [`HcnDelete${Kind}`]: async (session, id = "") => {
      await (await session.client()).call("deleteNetworkObject", { kind, object: id });
      session.relay.networkObjects[kind].delete(id.toLowerCase());
      announce(session, kind, "deleted", id.toLowerCase());
      return undefined;
    },
  };
}

/** The functions of computenetwork.h. */
export const networkCalls: { readonly [name: string]: Handler } = {
  ...callsOf("network", "Network"),
  ...callsOf("endpoint", "Endpoint"),
  ...callsOf("namespace", "Namespace"),

  HcnModifyNamespace: async (session, namespace = "", settings) => {
    const request = JSON.parse(settings ?? "{}");
    await (await session.client()).call("modifyNamespace", { namespace, request });
    return undefined;
  },

  HcnRegisterServiceCallback: async (session) => {
    session.hearsOfNetworks = true;
    // A service that is not there cannot be heard of.
    await session.client();
    return undefined;
  },

  HcnEnumerateLoadBalancers: async () => "[]",
  HcnOpenLoadBalancer: async (_session, id) => {
    throw new Refusal("ERROR_NOT_FOUND", `there is no load balancer ${id}`);
  },
};
