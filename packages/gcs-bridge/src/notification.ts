import type { Fields } from "./fields.ts";

export const notificationTypes = [
  "None",
  "GracefulExit",
  "ForcedExit",
  "UnexpectedExit",
  "Reboot",
  "Constructed",
  "Started",
  "Paused",
  "Unknown",
  // No part of the reference's protocol: the kernel has killed something for want of memory. Its hosts pass over it.
  "OutOfMemory",
] as const;

export type NotificationType = (typeof notificationTypes)[number];

/** What a guest tells of a container without being asked. */
export interface ContainerNotification {
  readonly containerId: string;
  readonly activityId: string;
  readonly type: NotificationType;
  /** The operation that was going on: "None", "Construct", "Start", "Pause", "Resume", "Shutdown", "Terminate". */
  readonly operation: string;
  /** HRESULT, unsigned; 0 for success. */
  readonly result: number;
}

export function encodeNotification(notification: ContainerNotification): unknown {
  return {
    ContainerId: notification.containerId,
    ActivityId: notification.activityId,
    Type: notification.type,
    Operation: notification.operation,
    Result: notification.result | 0,
    ResultInfo: "",
  };
}

/** Ids and names of operations go into the host's log with each notification. */
const longestId = 256;
const longestName = 64;

/** Undefined when the notification's type is one that this version does not know. Throws a FieldError. */
export function readNotification(fields: Fields): ContainerNotification | undefined {
  const text = fields.text("Type");
  const type = notificationTypes.find((known) => known === text);
  if (type === undefined) return undefined;
  return {
    containerId: fields.text("ContainerId", longestId),
    activityId: fields.optionalText("ActivityId", longestName) ?? "",
    type,
    operation: fields.optionalText("Operation", longestName) ?? "None",
    result: (fields.has("Result") ? fields.result("Result") : 0) >>> 0,
  };
}
