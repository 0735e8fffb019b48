/* imagen-fast from C, from C++ (imagen_fast.hpp) and from whatever calls C.
 *
 *     imagen_fast_engine* engine;
 *     imagen_fast_load("sr-x4-tiny.safetensors", NULL, &engine);
 *     imagen_fast_input in = {sizeof in, pixels, IMAGEN_FAST_UINT8, 3, 1, height, width};
 *     imagen_fast_output out = {sizeof out, large, IMAGEN_FAST_UINT8, 3, 1, 4 * height, 4 * width};
 *     if (imagen_fast_run(engine, &in, &out, NULL) != IMAGEN_FAST_OK)
 *         fprintf(stderr, "%s\n", imagen_fast_last_error());
 *     imagen_fast_free(engine);
 *
 * Conventions
 * - Every function that can fail returns a status, and leaves a message for its thread.
 * - In a structure, 0 or NULL means "choose for me", unless its comment says otherwise. `size` is
 *   the structure's sizeof in the caller's program; that is how structures may grow: a program
 *   built against an older header works with a newer library of the same IMAGEN_FAST_ABI, and one
 *   built against a newer header works with an older library as long as what is new is left 0.
 * - The library keeps none of the caller's pointers after a call returns, prints nothing, installs
 *   no signal handlers and has no state of its own but each thread's message and, for fork(), a list
 *   of its engines.
 * - Callbacks run on the thread that called, and must neither throw nor call the same engine.
 */
#ifndef IMAGEN_FAST_H
#define IMAGEN_FAST_H

#include <stddef.h>
#include <stdint.h>

/* The version of this header, and as one number to compare: 1.2.3 is 1002003. */
#define IMAGEN_FAST_VERSION_MAJOR 0
#define IMAGEN_FAST_VERSION_MINOR 1
#define IMAGEN_FAST_VERSION_PATCH 0
#define IMAGEN_FAST_VERSION                                               \
    (IMAGEN_FAST_VERSION_MAJOR * 1000000 + IMAGEN_FAST_VERSION_MINOR * 1000 + \
     IMAGEN_FAST_VERSION_PATCH)

/* Changes only when programs must be compiled anew; the shared library's name ends with it. */
#define IMAGEN_FAST_ABI 1

#if defined(__GNUC__)
#define IMAGEN_FAST_API __attribute__((visibility("default")))
#else
#define IMAGEN_FAST_API
#endif
#if defined(__cplusplus)
#define IMAGEN_FAST_NOEXCEPT noexcept
extern "C" {
#else
#define IMAGEN_FAST_NOEXCEPT
#endif

/* How a call ended. Codes may be added; treat those that you do not know as errors. */
typedef int32_t imagen_fast_status;
enum {
    IMAGEN_FAST_OK = 0,
    /* An argument cannot be: NULL, a size of 0, sizes that overflow, floats outside 0 to 1, ... */
    IMAGEN_FAST_INVALID_ARGUMENT = 1,
    /* The model's file cannot be read, is damaged, of another kind or for a newer version. */
    IMAGEN_FAST_BAD_MODEL = 2,
    /* This machine or this library cannot: precision, instruction set, core, number of threads,
       kind of model, GPU or its driver. */
    IMAGEN_FAST_UNSUPPORTED = 3,
    IMAGEN_FAST_OUT_OF_MEMORY = 4,
    /* The network gives infinities or NaN, in fp32 too: its weights are damaged. */
    IMAGEN_FAST_NOT_FINITE = 5,
    /* A callback or imagen_fast_cancel ended the run; or a callback called fork(), and this is the
       child, whose engine lacks the threads that worked on it. */
    IMAGEN_FAST_CANCELLED = 6,
    /* A bug in the library; please report the message. */
    IMAGEN_FAST_INTERNAL = 7,
    /* The GPU or its driver failed; the message has the driver's. */
    IMAGEN_FAST_DEVICE_FAILED = 8
};

/* What weights and feature maps are computed in. */
enum { IMAGEN_FAST_AUTO = 0, IMAGEN_FAST_FP32 = 1, IMAGEN_FAST_BF16 = 2 };

/* What a sample of a picture is: a byte from 0 to 255, or a float from 0 to 1. */
enum { IMAGEN_FAST_UINT8 = 1, IMAGEN_FAST_FLOAT32 = 2 };

/* In place of a number that is 0 or more: none at all, where 0 means "choose for me". */
#define IMAGEN_FAST_NONE (-1)

/* A model made ready to run. Several threads may call the same engine at once; they take turns, a
 * tile at a time. Engines share nothing. An engine made before fork() works in the child too,
 * whatever other threads were doing with it, unless it is on a GPU. */
typedef struct imagen_fast_engine imagen_fast_engine;

/* How to run a model. */
typedef struct imagen_fast_options {
    size_t size;         /* sizeof(imagen_fast_options) */
    int32_t precision;   /* IMAGEN_FAST_AUTO takes bf16 where it is much faster, else fp32 */
    int32_t threads;     /* the calling one included; 0: as many as there are cores for the process */
    const char* isa;     /* "amx", "avx512_bf16", "avx512", "avx2" or "generic"; NULL: as the
                            variable IMAGEN_FAST_ISA says, or else the best that the processor has */
    const int32_t* cores; /* to which the engine's own threads are bound in turn; NULL: to none */
    size_t core_count;   /* how many `cores` there are */
    int32_t spin_us;     /* microseconds that a thread waits awake before it sleeps; 0: 30;
                            IMAGEN_FAST_NONE: it sleeps at once */
    int32_t tile;        /* side of a tile in input pixels, overlap included; 0: by the memory */
    int32_t overlap;     /* input pixels that a tile reads beyond what it answers for, on each side;
                            0: 32, or fewer where that changes nothing; IMAGEN_FAST_NONE: none */
    int32_t reserved;    /* 0 */
    uint64_t memory;     /* bytes that feature maps may take, by which `tile` 0 is chosen; 0: a
                            quarter of the free memory (within the control group), up to 512 MiB;
                            of a GPU, and for a model with means over the whole picture: half of
                            the free memory */
    const char* device;  /* NULL or "cpu"; "cuda" or "cuda:N": an NVIDIA GPU, for models that
                            `imagen-fast export --format bundle` wrote, of which `precision`,
                            unless AUTO, must be the model's, `isa` NULL, and the options of
                            threads mean nothing. Whoever can write such a file can run code on the
                            GPU: take it from where you take programs from */
} imagen_fast_options;

/* A picture, or several of one size, to read: (N, H, W, C), samples of a pixel side by side. */
typedef struct imagen_fast_input {
    size_t size;          /* sizeof(imagen_fast_input) */
    const void* data;     /* the first sample; floats are aligned to 4 bytes, strides as well */
    int32_t type;         /* IMAGEN_FAST_UINT8 or IMAGEN_FAST_FLOAT32 */
    int32_t channels;     /* imagen_fast_channels(engine); for 3: red, green, blue, gamma-encoded;
                             of imagen_fast_run_graph, what imagen_fast_input_info says */
    int64_t images;       /* how many; 1 or more */
    int64_t height, width; /* in pixels; 1 or more */
    /* Bytes from one pixel, row and picture to the next; 0: nothing lies between them. Pixels may
     * lie further apart than their samples take (RGBA, of which three are used); rows from bottom
     * to top have a negative stride and `data` in the last row in memory. */
    int64_t pixel_stride, row_stride, image_stride;
    const char* name;     /* of the model's inputs; NULL: its first one */
} imagen_fast_input;

/* The same, to write. Bytes between pixels and rows stay as they are. */
typedef struct imagen_fast_output {
    size_t size;           /* sizeof(imagen_fast_output) */
    void* data;            /* must not overlap with the input */
    int32_t type;          /* the input's */
    int32_t channels;      /* the input's */
    int64_t images;        /* the input's */
    int64_t height, width; /* the input's, times imagen_fast_scale(engine) */
    int64_t pixel_stride, row_stride, image_stride;
    const char* name;      /* of the model's outputs; NULL: its first one */
} imagen_fast_output;

/* An input or an output of a model: see imagen_fast_input_info. */
typedef struct imagen_fast_info {
    size_t size;       /* sizeof(imagen_fast_info) */
    const char* name;  /* lives as long as the engine */
    int32_t channels;
    int32_t picture;   /* 1: samples from 0 to 1, or bytes; 0: numbers of any size, always floats */
    int32_t optional;  /* 1: an input that may be left out */
    /* How large it is: factor * ceil(side / 2^halvings) + 2 * margin, where side is the height
     * (width) of the input number `of`; of one pixel if `of` is -1. An input whose `of` is its own
     * number is of any size. */
    int32_t of, halvings, factor;
    int32_t margin;
} imagen_fast_info;

/* How to watch a run. */
typedef struct imagen_fast_run_options {
    size_t size; /* sizeof(imagen_fast_run_options) */
    /* Asked several times a second; anything but 0 ends the run. NULL: it runs to its end. */
    int32_t (*cancelled)(void* user);
    /* Told after every tile which part of them is done, above 0 and up to 1. */
    void (*progress)(double done, void* user);
    void* user; /* handed to both */
} imagen_fast_run_options;

/* The library's IMAGEN_FAST_VERSION and IMAGEN_FAST_ABI, and its version as text. */
IMAGEN_FAST_API int32_t imagen_fast_version(void) IMAGEN_FAST_NOEXCEPT;
IMAGEN_FAST_API int32_t imagen_fast_abi(void) IMAGEN_FAST_NOEXCEPT;
IMAGEN_FAST_API const char* imagen_fast_version_text(void) IMAGEN_FAST_NOEXCEPT;

/* What was wrong, what was expected and what to do, in UTF-8 if the path was, in fewer than 1024
 * bytes: of the last call in this thread that failed; "" if none has. It stays until the next one
 * fails in this thread. */
IMAGEN_FAST_API const char* imagen_fast_last_error(void) IMAGEN_FAST_NOEXCEPT;

/* A status in a few words, for logs. Never NULL. */
IMAGEN_FAST_API const char* imagen_fast_status_text(imagen_fast_status) IMAGEN_FAST_NOEXCEPT;

/* Reads a model (.safetensors, as this project's), checks all of it and makes it ready to run.
 * Nothing in the file can run code, unless `device` asks for a GPU. The file, or `data`, is not
 * needed afterwards; `data` may have any alignment. `options` may be NULL.
 * *engine is the caller's, to be given back with imagen_fast_free; NULL after an error.
 * Errors: INVALID_ARGUMENT, BAD_MODEL, UNSUPPORTED, OUT_OF_MEMORY, DEVICE_FAILED. */
IMAGEN_FAST_API imagen_fast_status imagen_fast_load(
    const char* path, const imagen_fast_options* options,
    imagen_fast_engine** engine) IMAGEN_FAST_NOEXCEPT;
IMAGEN_FAST_API imagen_fast_status imagen_fast_load_memory(
    const void* data, size_t bytes, const imagen_fast_options* options,
    imagen_fast_engine** engine) IMAGEN_FAST_NOEXCEPT;

/* Gives everything back: memory and threads. No other call may use the engine then or later.
 * NULL is allowed. */
IMAGEN_FAST_API void imagen_fast_free(imagen_fast_engine* engine) IMAGEN_FAST_NOEXCEPT;

/* Runs pictures of any size, one after the other, in tiles that overlap and blend. Result and
 * tiles are those of imagen_fast.load(...)(picture) in Python, bit by bit. Results lie in 0 to 1
 * (255). Pixels that are neutral (R = G = B) like all up to 2 pixels around them stay neutral, and where
 * a picture hardly changes, what a model of imagen-fast enlarges stays near its colours.
 * Working memory depends on the tile and the width: see imagen_fast_memory. A model that computes
 * means over the whole picture is another in tiles: it runs whole, or, where memory does not allow
 * that and no `tile` was chosen, gives INVALID_ARGUMENT; imagen_fast_memory and frames of a stream
 * as well.
 * After an error the output holds anything. `options` may be NULL.
 * Errors: INVALID_ARGUMENT, UNSUPPORTED (the model makes no picture of a picture, threads cannot be
 * started), OUT_OF_MEMORY, NOT_FINITE,
 * CANCELLED; on a GPU also BAD_MODEL (its plan is damaged) and DEVICE_FAILED, after which the engine
 * can only be freed. */
IMAGEN_FAST_API imagen_fast_status imagen_fast_run(
    imagen_fast_engine* engine, const imagen_fast_input* in, const imagen_fast_output* out,
    const imagen_fast_run_options* options) IMAGEN_FAST_NOEXCEPT;

/* The same, all pictures at once and each as one tile: for small pictures of one size. Memory grows
 * with their number and size. Pictures without gaps are read and written where they are; on a GPU,
 * by way of pinned memory, unless they lie in such (cuMemHostAlloc) themselves. */
IMAGEN_FAST_API imagen_fast_status imagen_fast_run_untiled(
    imagen_fast_engine* engine, const imagen_fast_input* in, const imagen_fast_output* out,
    const imagen_fast_run_options* options) IMAGEN_FAST_NOEXCEPT;

/* Models have inputs and outputs with names: beside a picture a style, a latent, the last frame, or
 * features and attention maps. imagen_fast_run is the case of the first input and the first output,
 * both pictures, in tiles of any number. These functions run all of them, each whole:
 *
 *     imagen_fast_input in[] = {
 *         {sizeof *in, pixels, IMAGEN_FAST_UINT8, 3, 1, height, width, 0, 0, 0, "image"},
 *         {sizeof *in, numbers, IMAGEN_FAST_FLOAT32, 64, 1, 1, 1, 0, 0, 0, "style"}};
 *     imagen_fast_output out[] = {{sizeof *out}, {sizeof *out}};
 *     out[0].name = "picture";
 *     out[1].name = "features";
 *     imagen_fast_sizes(engine, in, 2, out, 2, NULL);     // types, channels, images, heights, widths
 *     out[0].data = ...;                                  // memory for them
 *     imagen_fast_run_graph(engine, in, 2, out, 2, NULL);
 *
 * How many inputs and outputs there are; 0 for an engine that is NULL. */
IMAGEN_FAST_API int32_t imagen_fast_input_count(const imagen_fast_engine*) IMAGEN_FAST_NOEXCEPT;
IMAGEN_FAST_API int32_t imagen_fast_output_count(const imagen_fast_engine*) IMAGEN_FAST_NOEXCEPT;

/* Describes input or output `number`, counted from 0. info->size must be set; the rest is written.
 * Errors: INVALID_ARGUMENT. */
IMAGEN_FAST_API imagen_fast_status imagen_fast_input_info(
    const imagen_fast_engine* engine, int32_t number, imagen_fast_info* info) IMAGEN_FAST_NOEXCEPT;
IMAGEN_FAST_API imagen_fast_status imagen_fast_output_info(
    const imagen_fast_engine* engine, int32_t number, imagen_fast_info* info) IMAGEN_FAST_NOEXCEPT;

/* Writes type, channels, images, height and width of outputs whose `name` is set, for inputs of
 * these names, types, sizes and numbers; `data` is not looked at and may be NULL. Pictures are of
 * the type that picture inputs have (without any, floats), everything else is floats. The
 * structures of an array are as far apart as the `size` of the first, which all must have.
 * *bytes, unless `bytes` is NULL: what imagen_fast_run_graph will hold while it works, as
 * imagen_fast_memory says it.
 * Errors: INVALID_ARGUMENT (a name that the model does not have, an input that is missing, given
 * twice or of a size that does not fit the others, ...), UNSUPPORTED (results are too large),
 * OUT_OF_MEMORY. */
IMAGEN_FAST_API imagen_fast_status imagen_fast_sizes(
    const imagen_fast_engine* engine, const imagen_fast_input* inputs, size_t input_count,
    imagen_fast_output* outputs, size_t output_count, uint64_t* bytes) IMAGEN_FAST_NOEXCEPT;

/* Computes these outputs from these inputs, all at once, without tiles; everything that they do not
 * need is left out. Inputs and outputs are as imagen_fast_sizes says; strides as in one picture,
 * with up to 4096 channels a pixel. Floats of pictures lie between 0 and 1, all others are finite.
 * Inputs that the outputs do not need are checked and not read. Outputs must overlap in memory with
 * nothing. `progress` is told once, at the end. Results, errors and everything else as
 * imagen_fast_run and imagen_fast_sizes; a file with GPU kernels computes the outputs that it was
 * exported with, from its first input alone, else UNSUPPORTED. */
IMAGEN_FAST_API imagen_fast_status imagen_fast_run_graph(
    imagen_fast_engine* engine, const imagen_fast_input* inputs, size_t input_count,
    const imagen_fast_output* outputs, size_t output_count,
    const imagen_fast_run_options* options) IMAGEN_FAST_NOEXCEPT;

/* A running video: frames of one size, one after the other.
 *
 *     imagen_fast_stream_options how = {sizeof how, width, height, IMAGEN_FAST_NV12};
 *     imagen_fast_stream* stream;
 *     imagen_fast_stream_open(engine, &how, &stream);
 *     imagen_fast_frame in = {sizeof in, {y, uv}}, out = {sizeof out, {large_y, large_uv}};
 *     while (next(&in))
 *         imagen_fast_stream_push(stream, &in, &out, NULL);
 *     imagen_fast_stream_close(stream);
 *
 * Latency is none: the result of a frame is there when the call returns. A call blocks until then,
 * also while another thread's frame is computed; nothing is queued. A model for videos reads what it
 * made of the frame before, and begins anew after a scene cut: push frames in their order. It
 * computes them whole, whatever `tile` says. */
typedef struct imagen_fast_stream imagen_fast_stream;

/* How a frame of bytes lies in memory: in one plane, red, green and blue, or blue, green and red;
 * in two, Y, and U and V in turn; or in three, Y, U and V. U and V have half the height and width,
 * which are even; they lie on the left of two columns, between two rows. */
enum { IMAGEN_FAST_RGB = 1, IMAGEN_FAST_BGR = 2, IMAGEN_FAST_NV12 = 3, IMAGEN_FAST_I420 = 4 };

/* How Y, U and V stand for colours. */
enum { IMAGEN_FAST_BT601 = 1, IMAGEN_FAST_BT709 = 2, IMAGEN_FAST_BT2020 = 3 };

typedef struct imagen_fast_stream_options {
    size_t size;            /* sizeof(imagen_fast_stream_options) */
    int64_t width, height;  /* of the frames, in pixels; 1 or more */
    int32_t format;         /* of the frames; 0: IMAGEN_FAST_RGB */
    int32_t out_format;     /* of the results; 0: the same */
    int32_t matrix;         /* 0: IMAGEN_FAST_BT709 for more than 576 rows, else IMAGEN_FAST_BT601 */
    int32_t full_range;     /* 1: Y, U and V take all levels from 0 to 255; 0: 16 to 235 (240) */
} imagen_fast_stream_options;

typedef struct imagen_fast_frame {
    size_t size;         /* sizeof(imagen_fast_frame) */
    void* planes[3];     /* as many as the format has */
    int64_t strides[3];  /* bytes from one row of a plane to the next; 0: nothing lies between */
} imagen_fast_frame;

/* *stream is the caller's, to be given back with imagen_fast_stream_close before its engine is;
 * NULL after an error. Streams of one engine may be used side by side, and take turns at it.
 * Errors: INVALID_ARGUMENT, UNSUPPORTED (the model makes no picture of a picture of three
 * channels), OUT_OF_MEMORY. */
IMAGEN_FAST_API imagen_fast_status imagen_fast_stream_open(
    imagen_fast_engine* engine, const imagen_fast_stream_options* options,
    imagen_fast_stream** stream) IMAGEN_FAST_NOEXCEPT;

/* Computes a frame. The result is larger by the scale of the engine, in memory that does not
 * overlap with the frame's. RGB is read and written where it is. `options` may be NULL. Errors as
 * imagen_fast_run. */
IMAGEN_FAST_API imagen_fast_status imagen_fast_stream_push(
    imagen_fast_stream* stream, const imagen_fast_frame* in, const imagen_fast_frame* out,
    const imagen_fast_run_options* options) IMAGEN_FAST_NOEXCEPT;

/* NULL is allowed. */
IMAGEN_FAST_API void imagen_fast_stream_close(imagen_fast_stream* stream) IMAGEN_FAST_NOEXCEPT;

/* Ends the runs that are going on in other threads, within a tenth of a second; they return
 * CANCELLED.
 * Later runs are as if nothing had been. NULL is allowed. Not to be called by signal handlers. */
IMAGEN_FAST_API void imagen_fast_cancel(imagen_fast_engine* engine) IMAGEN_FAST_NOEXCEPT;

/* *bytes: what imagen_fast_run will hold at most while it works on a picture of this size and type,
 * beside the caller's pictures and the model itself. Most of it stays with the engine until a run
 * of another size needs less, or imagen_fast_free. With `tile` 0 it depends on the memory that is
 * free now, unless the last run was of this size. Errors: INVALID_ARGUMENT, OUT_OF_MEMORY. */
IMAGEN_FAST_API imagen_fast_status imagen_fast_memory(
    const imagen_fast_engine* engine, int32_t type, int64_t height, int64_t width,
    uint64_t* bytes) IMAGEN_FAST_NOEXCEPT;

/* What was loaded and how it runs. Strings live as long as the engine. For an engine that is NULL
 * numbers are 0 and strings "". Scale and channels are 0 for a model that makes no picture of a
 * picture alone, which imagen_fast_run_graph runs and imagen_fast_run refuses as UNSUPPORTED. */
IMAGEN_FAST_API int32_t imagen_fast_scale(const imagen_fast_engine*) IMAGEN_FAST_NOEXCEPT;
IMAGEN_FAST_API int32_t imagen_fast_channels(const imagen_fast_engine*) IMAGEN_FAST_NOEXCEPT;
IMAGEN_FAST_API int32_t imagen_fast_threads(const imagen_fast_engine*) IMAGEN_FAST_NOEXCEPT;
IMAGEN_FAST_API const char* imagen_fast_precision(const imagen_fast_engine*) IMAGEN_FAST_NOEXCEPT;
IMAGEN_FAST_API const char* imagen_fast_isa(const imagen_fast_engine*) IMAGEN_FAST_NOEXCEPT;
/* The model's name as its file says it, "sr-x4"; "" if it says none. */
IMAGEN_FAST_API const char* imagen_fast_name(const imagen_fast_engine*) IMAGEN_FAST_NOEXCEPT;
/* What else the file says: "license", "size", "task", ...; NULL if it says nothing of that. */
IMAGEN_FAST_API const char* imagen_fast_metadata(const imagen_fast_engine*,
                                                 const char* key) IMAGEN_FAST_NOEXCEPT;
/* The overlap that is used, in input pixels, and the one with which tiles change nothing: -1 if no
 * overlap is enough for that. */
IMAGEN_FAST_API int32_t imagen_fast_overlap(const imagen_fast_engine*) IMAGEN_FAST_NOEXCEPT;
IMAGEN_FAST_API int32_t imagen_fast_exact_overlap(const imagen_fast_engine*) IMAGEN_FAST_NOEXCEPT;
/* How many times so far something was not finite in bf16 and was computed again in fp32. On a GPU
 * that is NOT_FINITE. */
IMAGEN_FAST_API int64_t imagen_fast_reruns(const imagen_fast_engine*) IMAGEN_FAST_NOEXCEPT;

#ifdef __cplusplus
}
#endif

#endif
