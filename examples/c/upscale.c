/* Enlarges a picture: upscale MODEL.safetensors IN.ppm OUT.ppm
 *
 *     cc upscale.c $(imagen-fast config --cflags --libs) -o upscale
 *
 * A PPM file is "P6 WIDTH HEIGHT 255", one space or newline, then red, green, blue byte by byte. */
#include <ctype.h>
#include <imagen_fast.h>
#include <stdio.h>
#include <stdlib.h>

static int complain(const char* what, const char* about) {
    fprintf(stderr, "upscale: %s: %s\n", what, about);
    return 1;
}

/* The next number of a header, or 0; # begins a comment to the end of its line. */
static int number(FILE* file) {
    int value = 0;
    while (fscanf(file, "%5d", &value) == 0 && getc(file) == '#' && fscanf(file, "%*[^\n]") == 0)
        continue;
    return value;
}

static unsigned char* read_ppm(const char* path, int* height, int* width) {
    unsigned char* pixels = NULL;
    FILE* file = fopen(path, "rb");
    if (file && getc(file) == 'P' && getc(file) == '6' && (*width = number(file)) > 0 &&
        (*height = number(file)) > 0 && number(file) == 255 && isspace(getc(file))) {
        const size_t bytes = 3 * (size_t)*width * (size_t)*height;
        pixels = malloc(bytes);
        if (pixels && fread(pixels, 1, bytes, file) != bytes) {
            free(pixels);
            pixels = NULL;
        }
    }
    if (file) fclose(file);
    return pixels;
}

static int write_ppm(const char* path, const unsigned char* pixels, int height, int width) {
    FILE* file = fopen(path, "wb");
    if (!file) return 0;
    const size_t row = 3 * (size_t)width;
    int good = fprintf(file, "P6\n%d %d\n255\n", width, height) > 0;
    good = good && fwrite(pixels, row, (size_t)height, file) == (size_t)height;
    return fclose(file) == 0 && good;
}

int main(int count, char** arguments) {
    if (count != 4) return complain("expected", "MODEL.safetensors IN.ppm OUT.ppm");
    imagen_fast_engine* engine = NULL;
    if (imagen_fast_load(arguments[1], NULL, &engine) != IMAGEN_FAST_OK)
        return complain("cannot load the model", imagen_fast_last_error());
    int height = 0, width = 0, failed = 1;
    const int s = imagen_fast_scale(engine);
    unsigned char* small = read_ppm(arguments[2], &height, &width);
    unsigned char* large = malloc(3 * (size_t)(s * width) * (size_t)(s * height));
    const imagen_fast_input in = {sizeof in, small, IMAGEN_FAST_UINT8, 3, 1,
                                  height,    width, 0, 0, 0, NULL};
    const imagen_fast_output out = {
        sizeof out, large, IMAGEN_FAST_UINT8, 3, 1, s * height, s * width, 0, 0, 0, NULL};
    if (!small)
        complain("no PPM picture of 8 bits", arguments[2]);
    else if (imagen_fast_run(engine, &in, &out, NULL) != IMAGEN_FAST_OK)
        complain("cannot enlarge", imagen_fast_last_error());
    else if (!write_ppm(arguments[3], large, s * height, s * width))
        complain("cannot write", arguments[3]);
    else
        failed = 0;
    free(large);
    free(small);
    imagen_fast_free(engine);
    return failed;
}
