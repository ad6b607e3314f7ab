/*
 * gantry_plugin.h - the C interface between Gantry and its plugins, version 0.
 *
 * A plugin is a shared library with ONE exported function, gantry_plugin_entry, and one ELF note.
 * docs/plugins.md is the guide; docs of the JSON payloads are there too.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Rules that hold for everything below:
 *  - Every table and struct begins with its own size in bytes and only ever grows at the end. A field
 *    that lies beyond `size` does not exist: look before you read.
 *  - The major version must match; the minor one may differ in both directions.
 *  - The type of a pointer says who owns what it points to: gantry_lent_* belongs to the side that made
 *    it and lives until the call returns; gantry_held_* was made by the plugin and lives until the host
 *    calls the plugin's release(), once, on any thread.
 *  - Functions may be called on any thread of the host, several at a time (see "Threads" at each).
 *  - A plugin never enters a namespace, forks, nor changes directory, umask, environment or signals:
 *    it shares the process with others.
 */
#ifndef GANTRY_PLUGIN_H
#define GANTRY_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define GANTRY_ABI_MAJOR 0u
/* 0.1 added gantry_plugin.quiesce and gantry_host.netns_socket. */
#define GANTRY_ABI_MINOR 1u

/* What became of a call; every gantry_call_fn returns one of these. */
#define GANTRY_DONE 0u     /* the change is made (or was made before) */
#define GANTRY_NOT_DONE 1u /* nothing is changed; error_kind and message say why */
#define GANTRY_UNKNOWN 2u  /* may be changed, in part: the host asks again or cleans up */

/* Error kinds: a closed list. The host decides by the kind, never by the message. */
#define GANTRY_OK 0u
#define GANTRY_INVALID_ARGUMENT 1u
#define GANTRY_NOT_FOUND 2u
#define GANTRY_ALREADY_EXISTS 3u
#define GANTRY_IN_USE 4u              /* somebody still needs it */
#define GANTRY_FAILED_PRECONDITION 5u /* not in this state of the object or of the host */
#define GANTRY_PERMISSION_DENIED 6u
#define GANTRY_RESOURCE_EXHAUSTED 7u /* no space, no address, no port */
#define GANTRY_UNIMPLEMENTED 8u
#define GANTRY_UNAVAILABLE 9u /* try again later */
#define GANTRY_DEADLINE_EXCEEDED 10u
#define GANTRY_CANCELLED 11u
#define GANTRY_DATA_LOSS 12u
#define GANTRY_INTERNAL 13u
#define GANTRY_POISONED 14u /* a fault inside the plugin was contained; the instance refuses every further call */

/* Levels of gantry_host.log. */
#define GANTRY_LOG_ERROR 1u
#define GANTRY_LOG_WARN 2u
#define GANTRY_LOG_INFO 3u
#define GANTRY_LOG_DEBUG 4u

/* A descriptor that travels with a request or an answer. JSON names it by its index in the array. */
#define GANTRY_FD_LENT 0u  /* stays with the sender; the receiver duplicates it if it wants to keep it */
#define GANTRY_FD_GIVEN 1u /* now belongs to the receiver, who closes it, whatever the outcome */
typedef struct gantry_fd {
    int32_t fd;
    uint32_t ownership; /* GANTRY_FD_LENT or GANTRY_FD_GIVEN */
} gantry_fd;

/* Bytes of the caller; they live until the call returns. Not terminated by a zero. */
typedef struct gantry_lent_bytes {
    const uint8_t *data;
    uint64_t len;
} gantry_lent_bytes;

/* Bytes of the plugin; they live until release(). Not terminated by a zero. */
typedef struct gantry_held_bytes {
    const uint8_t *data;
    uint64_t len;
} gantry_held_bytes;

typedef struct gantry_request {
    uint64_t size;
    gantry_lent_bytes operation; /* UTF-8 id of the operation, for logs and for joining a retry */
    uint64_t deadline_ms;        /* CLOCK_MONOTONIC in milliseconds; 0 = none. The host keeps it, too */
    gantry_lent_bytes json;      /* UTF-8, one object */
    const gantry_fd *fds;
    uint32_t fds_len;
    int32_t cancel_fd; /* lent; readable (POLLIN) once the call is cancelled: do not read it. -1 = none */
} gantry_request;

/* All zero but `size` when the plugin gets it. */
typedef struct gantry_answer {
    uint64_t size;           /* set by the host: what it can read */
    gantry_held_bytes json;  /* one object; empty is read as {} */
    gantry_held_bytes message; /* with NOT_DONE and UNKNOWN: what was tried on which object */
    const gantry_fd *fds;    /* held by the plugin until release(); the GIVEN ones pass to the host */
    uint32_t fds_len;
    uint32_t error_kind;
    void *held; /* the plugin's own, for release() */
} gantry_answer;

/* An opened driver: the plugin's own. */
typedef struct gantry_instance gantry_instance;

/*
 * Every function of a driver has this shape. It may block.
 * Threads: several at a time on one instance, on any threads; the host never has two changes of the same
 *   object under way. Re-entrancy: it may call every service of gantry_host, nothing of itself.
 * Phase: after init() returned and before close().
 */
typedef uint32_t (*gantry_call_fn)(gantry_instance *instance, const gantry_request *request,
                                   gantry_answer *answer);

/*
 * Services of the host. Lives as long as the process.
 * Threads: all of them on any thread, at any time from init() on, several at a time.
 * `request` is the one being served (until its call returns), or NULL outside of a call.
 */
typedef struct gantry_host {
    uint64_t size;
    uint32_t abi_major;
    uint32_t abi_minor;
    void *ctx; /* the first argument of every function below */
    void (*log)(void *ctx, const gantry_request *request, uint32_t level, gantry_lent_bytes message);
    /* Progress of a long call, as JSON: {"done":bytes,"total":bytes,"what":"..."}. Never blocks. */
    void (*progress)(void *ctx, const gantry_request *request, gantry_lent_bytes json);
    /* Copies the secret called `name` to `buffer` if it fits. Returns its length, or -errno
     * (-ENOENT: there is none of this name for this plugin). */
    int64_t (*secret)(void *ctx, const gantry_request *request, gantry_lent_bytes name,
                      uint8_t *buffer, uint64_t buffer_len);
    /* 0 = go on; 1 = the call is cancelled or past its deadline: stop at the next safe point. */
    int32_t (*check_cancel)(void *ctx, const gantry_request *request);
    /* Since 0.1. A socket(domain, type, protocol) made inside the network namespace behind the lent
     * descriptor, by a thread of the host. AF_NETLINK, AF_INET and AF_INET6 only. Returns the descriptor,
     * close-on-exec, now the plugin's, or -errno. */
    int32_t (*netns_socket)(void *ctx, const gantry_request *request, int32_t netns_fd, int32_t domain,
                            int32_t type, int32_t protocol);
} gantry_host;

/* What gantry_plugin_entry returns: static, never freed, the same at every call. */
typedef struct gantry_plugin {
    uint64_t size;
    uint32_t abi_major;
    uint32_t abi_minor;
    const char *kind;    /* "snapshotter", "network" or "volume"; the same as in the note */
    const char *name;    /* [a-z0-9-]{1,63}; the same as in the note */
    const char *version; /* of the plugin, shown to people */
    const char *const *capabilities; /* names, the last one followed by NULL */
    /*
     * Opens a driver. On GANTRY_DONE *instance is set. JSON: InitRequest -> InitAnswer.
     * `host` may be kept. Threads: one at a time per plugin. Phase: first.
     */
    uint32_t (*init)(const gantry_host *host, const gantry_request *request, gantry_answer *answer,
                     gantry_instance **instance);
    /* The table of `kind`, or of an extension named in capabilities ("snapshotter.diff"); NULL = none.
     * The table is static. Threads: any. Phase: any. Must not block. */
    const void *(*table)(const char *name);
    /* Frees what an answer of this plugin holds. Called once for every answer, of whatever outcome.
     * Threads: any, also another than the call's. Must not block. */
    void (*release)(gantry_answer *answer);
    /* Closes a driver: no call is under way and none follows. What it had set up for containers stays. */
    void (*close)(gantry_instance *instance);
    /* Since 0.1; may be NULL. New calls will come no more, write down what you must: an upgrade follows. */
    gantry_call_fn quiesce;
} gantry_plugin;

/* The only exported symbol. Must not block, allocate or start a thread. */
#if defined(__GNUC__)
#define GANTRY_EXPORT __attribute__((visibility("default")))
#else
#define GANTRY_EXPORT
#endif
GANTRY_EXPORT const gantry_plugin *gantry_plugin_entry(void);

/* ---- tables of the kinds: GANTRY_DONE answers and payloads are in docs/plugins.md ---- */

typedef struct gantry_snapshotter {
    uint64_t size;
    gantry_call_fn prepare;
    gantry_call_fn view;
    gantry_call_fn commit;
    gantry_call_fn mounts;
    gantry_call_fn remove;
    gantry_call_fn stat;
    gantry_call_fn list;
    gantry_call_fn usage;
    gantry_call_fn cleanup;
} gantry_snapshotter;

/* Extension "snapshotter.diff". */
typedef struct gantry_snapshotter_diff {
    uint64_t size;
    gantry_call_fn diff;
} gantry_snapshotter_diff;

typedef struct gantry_network {
    uint64_t size;
    gantry_call_fn create;
    gantry_call_fn delete_; /* "delete" is a word of C++ */
    gantry_call_fn join;
    gantry_call_fn leave;
    gantry_call_fn inspect;
    gantry_call_fn reconcile;
} gantry_network;

/* Extension "network.stats". */
typedef struct gantry_network_stats {
    uint64_t size;
    gantry_call_fn stats;
} gantry_network_stats;

typedef struct gantry_volume {
    uint64_t size;
    gantry_call_fn create;
    gantry_call_fn remove;
    gantry_call_fn mount;
    gantry_call_fn unmount;
    gantry_call_fn inspect;
    gantry_call_fn list;
    gantry_call_fn usage;
} gantry_volume;

/*
 * The ELF note that the host reads before any code of the library runs. Section ".note.gantry",
 * owner "Gantry", type 1. Put GANTRY_PLUGIN_NOTE("volume", "dir"); into one C file of the library.
 */
#define GANTRY_NOTE_TYPE 1u
typedef struct gantry_note {
    uint32_t owner_len; /* 7 */
    uint32_t desc_len;  /* 96: what follows owner */
    uint32_t type;
    char owner[8];
    uint32_t abi_major;
    uint32_t abi_minor;
    char kind[24]; /* padded with zeros */
    char name[64];
} gantry_note;

#define GANTRY_PLUGIN_NOTE_VERSION(kind_, name_, major_, minor_)                                       \
    __attribute__((section(".note.gantry"), used, aligned(4))) static const gantry_note gantry_note_ = \
        {7u, 96u, GANTRY_NOTE_TYPE, "Gantry", major_, minor_, kind_, name_}
#define GANTRY_PLUGIN_NOTE(kind_, name_) \
    GANTRY_PLUGIN_NOTE_VERSION(kind_, name_, GANTRY_ABI_MAJOR, GANTRY_ABI_MINOR)

#ifdef __cplusplus
}
#endif
#endif
