"""LiteRT models: conversion, flatbuffer contents, operation counts."""
