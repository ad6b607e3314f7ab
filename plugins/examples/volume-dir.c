/*
 * The smallest volume plugin in C: a volume is a folder beneath the driver's root. volume-dir/ is the same in Rust.
 *
 *   cc -std=c11 -O2 -fPIC -shared -fvisibility=hidden -I plugins/abi/include -o dir-c.so plugins/examples/volume-dir.c
 *
 * Not for use: only empty volumes can be removed, and a volume that is still mounted is removed all the same. A real
 * plugin would read JSON with a library; the few lines here know just enough of it: fields of one object by name, and
 * strings without escapes (a name with an escape is no good name here anyway).
 */
#define _POSIX_C_SOURCE 200809L
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gantry_plugin.h"

GANTRY_PLUGIN_NOTE("volume", "dir-c");

struct gantry_instance {
    char root[4096];
};

/* ---- JSON ---- */

typedef struct {
    const char *at, *end;
} text;

static void skip_space(text *t) {
    while (t->at < t->end && isspace((unsigned char)*t->at)) t->at++;
}

/* Moves behind one string; its inside, or false when it has escapes or does not end. */
static bool take_string(text *t, text *inside) {
    if (t->at == t->end || *t->at != '"') return false;
    inside->at = ++t->at;
    while (t->at < t->end && *t->at != '"') {
        if (*t->at++ == '\\') return false;
    }
    inside->end = t->at;
    return t->at++ < t->end;
}

/* Moves behind one value of any kind. */
static bool skip_value(text *t) {
    int depth = 0;
    do {
        if (t->at == t->end) return false;
        char c = *t->at++;
        if (c == '"') {
            while (t->at < t->end && *t->at != '"') t->at += *t->at == '\\' ? 2 : 1;
            if (t->at >= t->end) return false;
            t->at++;
        } else if (c == '{' || c == '[') {
            depth++;
        } else if (c == '}' || c == ']') {
            depth--;
        }
        /* A number or a word ends before these. */
        if (depth == 0 && (t->at == t->end || strchr(",]} \t\r\n", *t->at))) return true;
    } while (depth >= 0);
    return false;
}

/* The value of a field of the object; false when it has no such field. */
static bool field(const gantry_request *request, const char *name, text *value) {
    text t = {(const char *)request->json.data, (const char *)request->json.data + request->json.len};
    text key;
    skip_space(&t);
    if (t.at == t.end || *t.at++ != '{') return false;
    for (;;) {
        skip_space(&t);
        if (!take_string(&t, &key)) return false;
        skip_space(&t);
        if (t.at == t.end || *t.at++ != ':') return false;
        skip_space(&t);
        value->at = t.at;
        if (!skip_value(&t)) return false;
        value->end = t.at;
        if ((size_t)(key.end - key.at) == strlen(name) && memcmp(key.at, name, strlen(name)) == 0) return true;
        skip_space(&t);
        if (t.at == t.end || *t.at++ != ',') return false;
    }
}

static bool string_field(const gantry_request *request, const char *name, text *inside) {
    text value;
    return field(request, name, &value) && take_string(&value, inside);
}

/* ---- answers ---- */

/* One buffer per answer, freed by release(). */
static void hold(gantry_answer *answer, gantry_held_bytes *bytes, const char *format, va_list args) {
    char *buffer = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&buffer, &len);
    if (out == NULL) return;
    vfprintf(out, format, args);
    fclose(out);
    answer->held = buffer;
    bytes->data = (const uint8_t *)buffer;
    bytes->len = len;
}

static uint32_t done(gantry_answer *answer, const char *format, ...) {
    va_list args;
    va_start(args, format);
    hold(answer, &answer->json, format, args);
    va_end(args);
    return GANTRY_DONE;
}

static uint32_t not_done(gantry_answer *answer, uint32_t kind, const char *format, ...) {
    va_list args;
    va_start(args, format);
    hold(answer, &answer->message, format, args);
    va_end(args);
    answer->error_kind = kind;
    return GANTRY_NOT_DONE;
}

static uint32_t failed(gantry_answer *answer, const char *what, const char *name) {
    int error = errno;
    uint32_t kind = error == ENOENT                          ? GANTRY_NOT_FOUND
                    : error == ENOTEMPTY || error == EBUSY   ? GANTRY_IN_USE
                    : error == ENOSPC || error == EDQUOT     ? GANTRY_RESOURCE_EXHAUSTED
                    : error == EACCES || error == EPERM      ? GANTRY_PERMISSION_DENIED
                                                             : GANTRY_INTERNAL;
    return not_done(answer, kind, "%s volume %s: %s", what, name, strerror(error));
}

/* ---- the driver ---- */

/* Descriptors that were given are ours to close, whatever the outcome; no request of a volume has any. */
static void close_given(const gantry_request *request) {
    for (uint32_t i = 0; i < request->fds_len; i++)
        if (request->fds[i].ownership == GANTRY_FD_GIVEN) close(request->fds[i].fd);
}

/* Fields of the requests this plugin knows and obeys. A request may demand that others are understood, too: then the
 * only right answer is no. */
static bool understood(const gantry_request *request, gantry_answer *answer) {
    text list, name;
    close_given(request);
    if (!field(request, "must_understand", &list)) return true;
    for (const char *at = list.at; at < list.end; at++) {
        text rest = {at, list.end};
        if (*at != '"') continue;
        if (!take_string(&rest, &name)) break;
        size_t len = (size_t)(name.end - name.at);
        if (!(len == 4 && memcmp(name.at, "name", len) == 0) && !(len == 9 && memcmp(name.at, "read_only", len) == 0) &&
            !(len == 7 && memcmp(name.at, "options", len) == 0)) {
            not_done(answer, GANTRY_UNIMPLEMENTED, "field %.*s is not understood", (int)len, name.at);
            return false;
        }
        at = rest.at - 1;
    }
    return true;
}

/* The volume's name and path; an answer is written when there is none. */
static bool volume_of(const gantry_instance *self, const gantry_request *request, gantry_answer *answer, char name[256],
                      char path[4608]) {
    text found;
    if (!understood(request, answer)) return false;
    bool good = string_field(request, "name", &found) && found.end > found.at && found.end - found.at < 256 &&
                *found.at != '.';
    /* Names come from users: nothing in one may lead out of the root. */
    for (const char *at = found.at; good && at < found.end; at++)
        good = isalnum((unsigned char)*at) || strchr("_.-", *at) != NULL;
    if (!good) {
        not_done(answer, GANTRY_INVALID_ARGUMENT, "the volume's name is not letters, digits, `_`, `.` and `-`");
        return false;
    }
    snprintf(name, 256, "%.*s", (int)(found.end - found.at), found.at);
    snprintf(path, 4608, "%s/%s", self->root, name);
    return true;
}

static uint32_t create(gantry_instance *self, const gantry_request *request, gantry_answer *answer) {
    char name[256], path[4608];
    text options;
    if (!volume_of(self, request, answer, name, path)) return GANTRY_NOT_DONE;
    if (field(request, "options", &options)) {
        options.at++;
        skip_space(&options);
        if (options.at < options.end && *options.at != '}')
            return not_done(answer, GANTRY_INVALID_ARGUMENT, "create volume %s: this driver has no options", name);
    }
    /* Every change is idempotent: done before is done. */
    if (mkdir(path, 0755) != 0 && errno != EEXIST) return failed(answer, "create", name);
    return done(answer, "{\"state\":{\"schema\":0},\"mountpoint\":\"%s\"}", path);
}

static uint32_t remove_volume(gantry_instance *self, const gantry_request *request, gantry_answer *answer) {
    char name[256], path[4608];
    if (!volume_of(self, request, answer, name, path)) return GANTRY_NOT_DONE;
    if (rmdir(path) != 0 && errno != ENOENT) return failed(answer, "remove", name);
    return GANTRY_DONE;
}

static uint32_t mount_volume(gantry_instance *self, const gantry_request *request, gantry_answer *answer) {
    char name[256], path[4608];
    text read_only;
    if (!volume_of(self, request, answer, name, path)) return GANTRY_NOT_DONE;
    if (access(path, F_OK) != 0) return failed(answer, "mount", name);
    bool ro = field(request, "read_only", &read_only) && *read_only.at == 't';
    return done(answer, "{\"mount\":{\"type\":\"bind\",\"source\":\"%s\",\"options\":[\"rbind\"%s]}}", path,
                ro ? ",\"ro\"" : "");
}

static uint32_t unmount_volume(gantry_instance *self, const gantry_request *request, gantry_answer *answer) {
    char name[256], path[4608];
    return volume_of(self, request, answer, name, path) ? GANTRY_DONE : GANTRY_NOT_DONE;
}

static uint32_t inspect(gantry_instance *self, const gantry_request *request, gantry_answer *answer) {
    char name[256], path[4608];
    if (!volume_of(self, request, answer, name, path)) return GANTRY_NOT_DONE;
    if (access(path, F_OK) != 0) return failed(answer, "find", name);
    return done(answer, "{\"name\":\"%s\",\"mountpoint\":\"%s\"}", name, path);
}

static uint32_t list(gantry_instance *self, const gantry_request *request, gantry_answer *answer) {
    char *buffer = NULL;
    size_t len = 0;
    if (!understood(request, answer)) return GANTRY_NOT_DONE;
    DIR *folder = opendir(self->root);
    if (folder == NULL) return failed(answer, "list", "folder");
    FILE *out = open_memstream(&buffer, &len);
    const char *comma = "";
    fputs("{\"volumes\":[", out);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        /* Whatever else lies here has no business in JSON. */
        if (entry->d_name[0] == '.' || strpbrk(entry->d_name, "\"\\")) continue;
        fprintf(out, "%s{\"name\":\"%s\",\"mountpoint\":\"%s/%s\"}", comma, entry->d_name, self->root, entry->d_name);
        comma = ",";
    }
    fputs("]}", out);
    fclose(out);
    closedir(folder);
    answer->held = buffer;
    answer->json.data = (const uint8_t *)buffer;
    answer->json.len = len;
    return GANTRY_DONE;
}

/* A function that is missing (usage) answers Unimplemented. */
static const gantry_volume volume = {
    .size = sizeof volume,
    .create = create,
    .remove = remove_volume,
    .mount = mount_volume,
    .unmount = unmount_volume,
    .inspect = inspect,
    .list = list,
};

static uint32_t init(const gantry_host *host, const gantry_request *request, gantry_answer *answer,
                     gantry_instance **instance) {
    text root;
    (void)host;
    if (!string_field(request, "root", &root) || root.end - root.at >= 4096)
        return not_done(answer, GANTRY_INVALID_ARGUMENT, "open: the root is missing or cannot be read");
    gantry_instance *self = calloc(1, sizeof *self);
    if (self == NULL) return not_done(answer, GANTRY_RESOURCE_EXHAUSTED, "open: no memory");
    memcpy(self->root, root.at, (size_t)(root.end - root.at));
    *instance = self;
    return GANTRY_DONE;
}

static const void *table(const char *name) {
    return strcmp(name, "volume") == 0 ? &volume : NULL;
}

static void release(gantry_answer *answer) {
    free(answer->held);
    answer->held = NULL;
}

static void close_instance(gantry_instance *self) {
    free(self);
}

const gantry_plugin *gantry_plugin_entry(void) {
    static const char *const capabilities[] = {NULL};
    static const gantry_plugin plugin = {
        .size = sizeof plugin,
        .abi_major = GANTRY_ABI_MAJOR,
        .abi_minor = GANTRY_ABI_MINOR,
        .kind = "volume",
        .name = "dir-c",
        .version = "0.1.0",
        .capabilities = capabilities,
        .init = init,
        .table = table,
        .release = release,
        .close = close_instance,
    };
    return &plugin;
}
